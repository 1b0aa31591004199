/**
 * Places in the path of a change where a test can kill or freeze this process, or have a sync hang: between every committed
 * step (a transaction of ours, a write to KMS) and the next. In production they do nothing.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config.ts';

/** In the order in which a change comes by. A test goes through all of them. */
export const failurePointNames = [
  'intent-recorded',
  'lease-taken',
  'open-write-settled',
  'search-done',
  'writes-recorded',
  'before-send',
  'after-send',
  'identity-recorded',
  'write-closed',
  'write-failed',
  'refusal-recorded',
  'retry-recorded',
  'sync-recorded',
  'removal-recorded',
  'refused-record-removed',
  'replacement-begun',
  'former-key-recorded',
  'roles-recorded',
  'errand-recorded',
  'keys-brought-along',
] as const;

export type FailurePoint = (typeof failurePointNames)[number];

export type FailureSwitch = NonNullable<Config['FAILURE_SWITCHES']>[number];

export type FailurePoints = {
  /** Comes by a point: does nothing, unless the point is armed. */
  pass(point: FailurePoint): Promise<void>;
  /** Whether a safeguard is left out, to see that the tests would notice. */
  isOff(safeguard: FailureSwitch): boolean;
};

/** An experiment, as the file `armed.json` in the folder FAILURE_POINTS has it. */
export type ArmedPoint = {
  /** Each fires once, also across restarts. */
  id: string;
  point: FailurePoint;
  /** hang: who comes by never gets on. */
  action: 'kill' | 'freeze' | 'hang';
  /** At which pass, counted since it was armed; 1 is the first. */
  pass: number;
};

/** The failure points of this process. */
export function openFailurePoints(config: Config): FailurePoints {
  const off = new Set<FailureSwitch>(config.FAILURE_SWITCHES ?? []);
  const folder = config.FAILURE_POINTS;
  return { pass: folder === null ? async () => {} : armedBy(folder), isOff: (safeguard) => off.has(safeguard) };
}

function armedBy(folder: string): FailurePoints['pass'] {
  const passes = new Map<string, number>();
  return async (point) => {
    for (const armed of readArmed(folder)) {
      if (armed.point !== point) continue;
      const count = (passes.get(armed.id) ?? 0) + 1;
      passes.set(armed.id, count);
      if (count !== armed.pass || hasFired(folder, armed.id)) continue;
      appendFileSync(path.join(folder, 'fired.log'), `${JSON.stringify({ ...armed, pid: process.pid })}\n`);
      if (armed.action === 'hang') return new Promise(() => {});
      process.kill(process.pid, armed.action === 'kill' ? 'SIGKILL' : 'SIGSTOP');
      // Who has been woken up is not to be frozen again by what was armed before that.
      return;
    }
  };
}

/** Read anew at each pass, so that one process serves many experiments. */
function readArmed(folder: string): ArmedPoint[] {
  const text = readIfThere(path.join(folder, 'armed.json'));
  return text === '' ? [] : (JSON.parse(text) as ArmedPoint[]);
}

function hasFired(folder: string, id: string): boolean {
  return readIfThere(path.join(folder, 'fired.log')).includes(`"id":${JSON.stringify(id)}`);
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
