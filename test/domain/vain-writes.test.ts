import { test } from 'tap';
import { afterStep } from '../../src/domain/after-step.ts';
import { differences } from '../../src/domain/drift.ts';
import type { RecentWrite } from '../../src/domain/recent-writes.ts';
import type { DesiredKey, ObservedKey, Step } from '../../src/domain/types.ts';
import { type Evidence, inVain, leavingAlone, nextTry } from '../../src/domain/vain-writes.ts';
import { usualDesired, usualKey } from '../support/keys.ts';

const read: ObservedKey = {
  ...usualKey,
  description: 'mine',
  policy: { Statement: [{ Sid: 'theirs' }] },
  rotation: { enabled: true, period_in_days: 365 },
};
const desired: DesiredKey = {
  ...usualDesired,
  description: 'mine',
  policy: { Statement: [{ Sid: 'mine' }] },
  enable_key_rotation: true,
  rotation_period_in_days: 180,
  tags: { a: '1' },
  tags_all: { a: '1' },
};

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000);

const steps = {
  rotation_period_in_days: { operation: 'EnableKeyRotation', parameters: { RotationPeriodInDays: 180 } },
  policy: { operation: 'PutKeyPolicy', parameters: { Policy: desired.policy, BypassPolicyLockoutSafetyCheck: false } },
  'tags.a': { operation: 'TagResource', parameters: { Tags: { a: '1', b: '2' } } },
} as const;
type Field = keyof typeof steps;

/** The write that ends a difference, sent when the key was as it is read. */
function write(field: Field, seconds: number, before: ObservedKey = read): RecentWrite {
  const changed = { rotation_period_in_days: 'rotation', policy: 'policy', 'tags.a': 'tags' } as const;
  const name = changed[field];
  return { ...steps[field], before: { [name]: before[name] }, finished_at: at(seconds) };
}

function verdict(field: Field, evidence: Partial<Evidence>) {
  const difference = differences(desired, read).find((entry) => entry.field === field);
  if (difference === undefined) throw new Error(`${field} does not differ`);
  return inVain(desired, read, difference, {
    writes: [],
    knownSince: null,
    lookedAt: at(99),
    now: at(1000),
    settle: 120_000,
    ...evidence,
  });
}

test('a write that KMS confirmed and that changed nothing is known by the first look that must show it', async (t) => {
  for (const field of Object.keys(steps) as Field[]) {
    t.match(verdict(field, { writes: [write(field, 100)] }), { field, times: 1, lastAt: at(100), since: at(100) });
    t.equal(verdict(field, {}), null, 'never written');
    t.equal(verdict(field, { writes: [write(field, 100)], now: at(200) }), null, 'reads may still be older');
    t.equal(
      verdict(field, { writes: [write(field, 100)], lookedAt: at(500) }),
      null,
      'a look has shown its effect: somebody has changed the key since',
    );
    const other = { ...read, rotation: null, policy: { Statement: [] }, tags: { a: '3' } };
    t.equal(verdict(field, { writes: [write(field, 100, other)] }), null, 'the key was not as it is now');
  }
});

test('while it is known, each further try is one more, and what somebody changed is none', async (t) => {
  const writes = [write('policy', 8000), write('policy', 100), write('policy', -5000)];
  const known = { knownSince: at(100), lookedAt: at(7000), now: at(9000) };
  t.match(verdict('policy', { writes, ...known }), { times: 2, since: at(100), lastAt: at(8000) });
  t.equal(verdict('policy', { writes: writes.slice(1), knownSince: at(500), now: at(9000) }), null);
  t.equal(nextTry({ lastAt: at(0), times: 1 }).getTime(), at(3600).getTime());
  t.equal(nextTry({ lastAt: at(0), times: 2 }).getTime(), at(7200).getTime());
  t.equal(nextTry({ lastAt: at(0), times: 50 }).getTime(), at(86_400).getTime());
});

test('what is left alone is not planned for, and all else is', async (t) => {
  const fields = differences(desired, read).map(({ field }) => field);
  t.same(fields.sort(), ['policy', 'rotation_period_in_days', 'tags.a']);
  for (const field of fields) {
    const left = leavingAlone(desired, read, [field]);
    t.same(
      left &&
        differences(left, read)
          .map((entry) => entry.field)
          .sort(),
      fields.filter((other) => other !== field).sort(),
    );
  }
  const pending = afterStep(read, {
    operation: 'ScheduleKeyDeletion',
    field: 'lifecycle',
    parameters: { PendingWindowInDays: 7 },
  } as Exclude<Step, { operation: 'CreateKey' }>);
  t.equal(leavingAlone(desired, pending, ['key_state']), null);
});
