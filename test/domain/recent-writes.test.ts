import fc from 'fast-check';
import { test } from 'tap';
import { afterStep } from '../../src/domain/after-step.ts';
import { withRecentWrites } from '../../src/domain/recent-writes.ts';
import type { ObservedKey, Step } from '../../src/domain/types.ts';
import { usualKey } from '../support/keys.ts';

type UpdateStep = Exclude<Step, { operation: 'CreateKey' }>;

const none = {} as Record<string, never>;
const name = fc.constantFrom('a', 'b', 'c');
const policyNamed = (Sid: string) => ({ Statement: [{ Sid }] });

const key: ObservedKey = { ...usualKey, policy: policyNamed('first'), tags: { a: '1' } };

const anyStep: fc.Arbitrary<UpdateStep> = fc.oneof(
  name.map(
    (Description) =>
      ({ operation: 'UpdateKeyDescription', field: 'description', parameters: { Description } }) as const,
  ),
  name.map((sid) => {
    const parameters = { Policy: policyNamed(sid), BypassPolicyLockoutSafetyCheck: false };
    return { operation: 'PutKeyPolicy', field: 'policy', parameters } as const;
  }),
  fc
    .dictionary(name, fc.string(), { minKeys: 1 })
    .map((Tags) => ({ operation: 'TagResource', field: 'tags', parameters: { Tags } }) as const),
  name.map(
    (tag) => ({ operation: 'UntagResource', field: 'tags', parameters: { TagKeys: [tag] as string[] } }) as const,
  ),
  fc.integer({ min: 90, max: 2560 }).map((RotationPeriodInDays) => {
    return {
      operation: 'EnableKeyRotation',
      field: 'enable_key_rotation',
      parameters: { RotationPeriodInDays },
    } as const;
  }),
  fc.constant({ operation: 'DisableKeyRotation', field: 'enable_key_rotation', parameters: none } as const),
  fc.constant({ operation: 'EnableKey', field: 'is_enabled', parameters: none } as const),
  fc.constant({ operation: 'DisableKey', field: 'is_enabled', parameters: none } as const),
);

/** A deletion that was scheduled, and maybe taken back. */
const deletion: fc.Arbitrary<UpdateStep[]> = fc.boolean().map((isTakenBack) => {
  const schedule = {
    operation: 'ScheduleKeyDeletion',
    field: 'lifecycle',
    parameters: { PendingWindowInDays: 7 },
  } as const;
  const cancel = { operation: 'CancelKeyDeletion', field: 'lifecycle', parameters: none } as const;
  return isTakenBack ? [schedule, cancel] : [schedule];
});

test('however old a read is, with the writes since it shows the key as it is', (t) => {
  const finished_at = new Date('2026-01-01T00:00:00Z');
  const date = '2026-01-08T00:00:00.000Z';
  const steps = fc
    .tuple(fc.array(anyStep, { maxLength: 8 }), fc.option(deletion, { nil: [] }))
    .map((parts) => parts.flat());
  fc.assert(
    fc.property(steps, fc.nat(), (writes, age) => {
      const states = [key];
      for (const step of writes)
        states.push(afterStep(states.at(-1) ?? key, step, { deletion_date: date, key_state: null }));
      const read = states[age % states.length] ?? key;
      const believed = withRecentWrites(
        read,
        writes.map((step) => ({ ...step, before: null, finished_at })),
      );
      t.same(believed, states.at(-1));
    }),
    { numRuns: 300 },
  );
  t.end();
});
