import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'tap';
import { afterStep } from '../../src/domain/after-step.ts';
import { plan } from '../../src/domain/planner.ts';
import { withRecentWrites } from '../../src/domain/recent-writes.ts';
import type { Step } from '../../src/domain/types.ts';
import { pair } from '../support/key-pairs.ts';
import { usualKey } from '../support/keys.ts';

type UpdateStep = Exclude<Step, { operation: 'CreateKey' }>;

/** Steps of changes in turn, each of which leads to another state that a key may be declared in. */
const steps: fc.Arbitrary<UpdateStep[]> = fc.array(pair, { maxLength: 4 }).map((pairs) => {
  let reached = usualKey;
  return pairs.flatMap(({ desired }) => {
    const planned = plan({ ...desired, lifecycle: 'managed' }, reached) as UpdateStep[];
    reached = planned.reduce((key, step) => afterStep(key, step), reached);
    return planned;
  });
});

/** A deletion that was scheduled, and maybe taken back. */
const deletion: fc.Arbitrary<UpdateStep[]> = fc.boolean().map((isTakenBack) => {
  const schedule = {
    operation: 'ScheduleKeyDeletion',
    field: 'lifecycle',
    parameters: { PendingWindowInDays: 7 },
  } as const;
  const cancel = { operation: 'CancelKeyDeletion', field: 'lifecycle', parameters: {} } as const;
  return isTakenBack ? [schedule, cancel] : [schedule];
});

test('however old a read is, with the writes since it shows the key as it is', async () => {
  const finished_at = new Date('2026-01-01T00:00:00Z');
  const date = '2026-01-08T00:00:00.000Z';
  const allSteps = fc.tuple(steps, fc.option(deletion, { nil: [] })).map((parts) => parts.flat());
  fc.assert(
    fc.property(allSteps, fc.nat(), (writes, age) => {
      const states = [usualKey];
      for (const step of writes)
        states.push(afterStep(states.at(-1) ?? usualKey, step, { deletion_date: date, key_state: null }));
      const read = states[age % states.length] ?? usualKey;
      const believed = withRecentWrites(
        read,
        writes.map((step) => ({ ...step, before: null, finished_at })),
      );
      assert.deepEqual(believed, states.at(-1));
    }),
    { numRuns: 300 },
  );
});
