/** What goes wrong in a run, by chance. */
import { setTimeout as delay } from 'node:timers/promises';
import { type FailurePoint, failurePointNames } from '../src/services/failure-points.ts';
import type { Lab } from './lab.ts';
import type { Random } from './random.ts';
import type { Replica } from './replica.ts';

export type Disturbance = { name: string; at: number; run(): Promise<void> };

const operations = [
  '*',
  'CreateKey',
  'CreateKey',
  'CreateKey',
  'DescribeKey',
  'ListResourceTags',
  'PutKeyPolicy',
  'UpdateKeyDescription',
  'TagResource',
  'UntagResource',
  'EnableKey',
  'DisableKey',
  'ScheduleKeyDeletion',
  'CancelKeyDeletion',
  'RotateKeyOnDemand',
  'ListKeyRotations',
  'GetKeyPolicy',
] as const;

const kinds = [
  'throttle',
  'internal_error',
  'reset_before_effect',
  'reset_after_effect',
  'reset_after_effect',
  'no_answer_after_effect',
  'no_answer_before_effect',
] as const;

/** Chooses some disturbances. All are over when their promises are, but for what `calm` has to put right. */
export function planDisturbances(random: Random, lab: Lab, mark: string): Disturbance[] {
  const chosen: Disturbance[] = [];
  const add = (name: string, latest: number, run: () => Promise<void>) =>
    chosen.push({ name, at: random.between(0, latest), run });
  const names: string[] = [];
  const points = failurePointNames as unknown as [FailurePoint, ...FailurePoint[]];
  for (const [index, replica] of lab.replicas.entries()) {
    // Several at once: some points are seldom come by.
    const armed = Array.from({ length: random.between(0, 4) }, (_, count) => ({
      id: `${mark}-${index}-${count}`,
      point: random.chance(0.3) ? 'before-send' : random.pick(points),
      action: random.pick(['kill', 'kill', 'freeze'] as const),
      pass: random.pick([1, 1, 2, 3]),
    }));
    for (const { point, action, pass } of armed) names.push(`${action} replica ${index} at ${point}, pass ${pass}`);
    add(`arm replica ${index}: ${names.splice(0).join('; ') || 'nothing'}`, 0, () => replica.arm(armed));
    if (random.chance(0.12)) add(`kill replica ${index}`, 1200, () => replica.kill());
    if (random.chance(0.15)) add(`freeze replica ${index}`, 1000, () => freeze(replica, random.between(200, 5000)));
  }
  for (let count = random.between(0, 3); count > 0; count -= 1) {
    const fault = { operation: random.pick(operations), kind: random.pick(kinds), times: random.between(1, 3) };
    add(`fault ${JSON.stringify(fault)}`, 700, async () => void (await lab.control.fault(fault)));
  }
  if (random.chance(0.3)) add('stale reads', 0, () => lab.setStaleReads(true));
  if (random.chance(0.08)) {
    add('kill PostgreSQL', 900, async () => {
      await lab.killPostgres();
      await delay(200);
      await lab.startPostgres();
    });
  }
  if (random.chance(0.3)) add('refresh is due', 900, () => letRefreshBeDue(lab));
  if (random.chance(0.08)) add(lab.guest.isRunning ? 'guest leaves' : 'guest joins', 500, () => visit(lab.guest));
  return chosen;
}

/** As if their refresh intervals had passed. Of more keys than a batch has, so that one ends in the middle of them. */
async function letRefreshBeDue(lab: Lab): Promise<void> {
  const due = `UPDATE keys SET due_at = now() WHERE due_at > now()
    AND id IN (SELECT id FROM keys ORDER BY id DESC LIMIT 50)`;
  // PostgreSQL may be away.
  await lab
    .database()
    .then((database) => database.query(due))
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
  await lab.setStaleReads(false);
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
