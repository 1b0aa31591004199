/** What goes wrong in a run, by chance. */
import { setTimeout as delay } from 'node:timers/promises';
import { type ArmedPoint, type FailurePoint, failurePointNames } from '../src/services/failure-points.ts';
import { stepClock } from './database-clock.ts';
import { calmSettings, planKmsDisturbances } from './kms-disturbances.ts';
import { type Lab, times } from './lab.ts';
import type { Ledger } from './ledger.ts';
import type { Kind, Mix } from './mix.ts';
import { allRegions } from './places.ts';
import type { Random } from './random.ts';
import type { Replica } from './replica.ts';
import { planRestore, restore } from './restore.ts';
import type { Trap } from './traps.ts';

export type Disturbance = { kind: Kind; name: string; at: number; run(): Promise<void> };

/** Chooses some disturbances. All are over when their promises are, but for what `calm` has to put right. */
export function planDisturbances(random: Random, world: World, mark: string): Disturbance[] {
  const { mix, lab } = world;
  if (mix.has('restore', random, 0.1)) return planForRestore(random, world);
  const chosen: Disturbance[] = [];
  const add = (kind: Kind, name: string, latest: number, run: () => Promise<unknown>) =>
    chosen.push({ kind, name, at: random.between(0, latest), run: async () => void (await run()) });
  for (const [index, replica] of lab.replicas.entries()) {
    const armed = mix.has('failure-points', random, 0.8) ? choosePoints(random, `${mark}-${index}`) : [];
    // Only where it is asked for: it takes minutes until a sync is known to have stood still.
    if (mix.has('hang', random, 0)) armed.push({ ...pointOfHanging, id: `${mark}-${index}-hang` });
    const names = armed.map(({ point, action, pass }) => `${action} replica ${index} at ${point}, pass ${pass}`);
    add('failure-points', `arm replica ${index}: ${names.join('; ') || 'nothing'}`, 0, () => replica.arm(armed));
    if (mix.has('kill', random, 0.12)) add('kill', `kill replica ${index}`, 1200, () => replica.kill());
    if (mix.has('freeze', random, 0.15)) {
      add('freeze', `freeze replica ${index}`, 1000, () => freeze(replica, random.between(200, 5000)));
    }
  }
  chosen.push(...planKmsDisturbances(random, mix, lab));
  if (mix.has('odd-key', random, 0.1)) add('odd-key', 'a key becomes odd', 900, () => lab.oddKeys.spoil(random));
  if (mix.has('kill-postgres', random, 0.08)) {
    add('kill-postgres', 'kill PostgreSQL', 900, async () => {
      await lab.killPostgres();
      await delay(200);
      await lab.startPostgres();
    });
  }
  if (mix.has('black-hole-postgres', random, 0.1)) {
    add('black-hole-postgres', 'black hole: connections to PostgreSQL', 900, async () => lab.blackholePostgres());
  }
  const moveClockBy = (seconds: number, lasts: number) => {
    const name = `PostgreSQL's clock moves by ${seconds} s, and that lasts ${lasts} ms`;
    add('database-clock', name, 500, () => moveClock(lab, seconds).then(() => delay(lasts)));
  };
  if (mix.has('database-clock', random, 0.08)) {
    moveClockBy(random.pick([-7200, -660, -90] as const), 0);
  }
  // Only where it is asked for: what a fast clock wrote, a lease of a worker that died, holds until that time has come.
  if (mix.has('fast-database-clock', random, 0)) {
    moveClockBy(random.pick([660, 7200] as const), (times.deadline + times.settle + 2) * 1000);
  }
  if (mix.has('refresh', random, 0.3)) add('refresh', 'refresh is due', 900, () => letRefreshBeDue(lab));
  if (mix.has('guest', random, 0.08)) {
    add('guest', lab.guest.isRunning ? 'guest leaves' : 'guest joins', 500, () => visit(lab.guest));
  }
  return chosen;
}

type World = { mix: Mix; lab: Lab; ledger: Ledger; ids: string[] };

/** No process dies, and PostgreSQL stays: what befalls the keys is what was arranged. */
export function planForTrap(random: Random, { mix, lab }: World, { kind, takesFaults }: Trap): Disturbance[] {
  const trap: Disturbance = { kind, name: `a trap: ${kind}`, at: 0, run: async () => {} };
  return [trap, ...(takesFaults ? planKmsDisturbances(random, mix, lab) : [])];
}

/** Nothing else befalls the processes then: a frozen one would go on with what it knew before. */
function planForRestore(random: Random, { mix, lab, ledger, ids }: World): Disturbance[] {
  const planned = planRestore(random);
  const name = `PostgreSQL is put back to a copy: ${JSON.stringify(planned)}`;
  // Then records without a key are in the copy, which have one when it is put back.
  const late = { operation: 'CreateKey', kind: 'throttle', times: null, seconds: 0.5 };
  const lateKeys: Disturbance = {
    kind: 'answers',
    name: `fault ${JSON.stringify(late)}`,
    at: 0,
    run: async () => void (await lab.control.fault(late)),
  };
  return [
    { kind: 'restore', name, at: random.between(100, 400), run: () => restore(lab, ledger, ids, planned) },
    ...(random.chance(0.5) ? [lateKeys] : []),
    ...planKmsDisturbances(random, mix, lab).filter(({ kind }) => /^(answers|bursts|stale-reads)$/.test(kind)),
  ];
}

/** Whoever comes by here has a lease, and has sent nothing. */
const pointOfHanging = { point: 'writes-recorded', action: 'hang', pass: 1 } as const;

/** Several at once: some points are seldom come by. */
function choosePoints(random: Random, mark: string): ArmedPoint[] {
  const points = failurePointNames as unknown as [FailurePoint, ...FailurePoint[]];
  return Array.from({ length: random.between(0, 4) }, (_, count) => ({
    id: `${mark}-${count}`,
    point: random.chance(0.3) ? 'before-send' : random.pick(points),
    action: random.pick(['kill', 'kill', 'freeze'] as const),
    pass: random.pick([1, 1, 2, 3]),
  }));
}

/** As if their refresh intervals had passed. Of more keys than a batch has, so that one ends in the middle of them. */
async function letRefreshBeDue(lab: Lab): Promise<void> {
  const due = `UPDATE work SET due_at = now() WHERE due_at > now()
    AND key_ref IN (SELECT id FROM keys ORDER BY id DESC LIMIT 50)`;
  // PostgreSQL may be away.
  await lab
    .database()
    .then((database) => database.query(due))
    .catch(() => {});
}

/** PostgreSQL may be away. */
async function moveClock(lab: Lab, seconds: number): Promise<void> {
  await lab
    .database()
    .then((database) => stepClock(database, seconds))
    .catch(() => {});
}

async function visit(guest: Replica): Promise<void> {
  // It may come while PostgreSQL is away, and then does not start.
  if (!guest.isRunning) return guest.start().catch(() => {});
  guest.signal('SIGTERM');
  await guest.service.ended;
}

async function freeze(replica: Replica, milliseconds: number): Promise<void> {
  replica.signal('SIGSTOP');
  await delay(milliseconds);
  replica.signal('SIGCONT');
}

/**
 * Ends everything that is wrong: from here on, all has to come right by itself.
 * @param sleeper is left frozen, if it is.
 */
export async function calm(lab: Lab, sleeper: Replica | null): Promise<void> {
  await lab.control.clearFaults();
  await lab.control.settings(calmSettings);
  // A client takes the clock of KMS over, a wrong one too.
  for (const region of allRegions) lab.kmsIn(region).config.systemClockOffset = 0;
  await lab.oddKeys.mend();
  await stepClock(await lab.database(), 0);
  for (const replica of lab.replicas) {
    await replica.arm([]);
    if (replica !== sleeper) replica.signal('SIGCONT');
    await replica.start();
  }
}

/** Wakes a replica that slept while the others put all in order, and gives it the time to do harm. */
export async function wake(sleeper: Replica): Promise<void> {
  sleeper.signal('SIGCONT');
  await delay(1000);
}
