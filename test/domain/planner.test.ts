import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'tap';
import { afterCreate, afterStep } from '../../src/domain/after-step.ts';
import { differences } from '../../src/domain/drift.ts';
import { enabledIn } from '../../src/domain/key-state.ts';
import { operationTable } from '../../src/domain/operations.ts';
import { plan, planWithin } from '../../src/domain/planner.ts';
import { isWithin, scopeOf } from '../../src/domain/scope.ts';
import type { DesiredKey, ObservedKey, Step, Tags } from '../../src/domain/types.ts';
import { withDeclared, withKnown } from '../../src/domain/untold.ts';
import { pair } from '../support/key-pairs.ts';
import { usualKey } from '../support/keys.ts';

/** KMS as its developer guide has it: what a key's state refuses. */
function refusal(key: ObservedKey, { operation, parameters }: Step): string | null {
  const isPending = key.key_state === 'PendingDeletion' || key.key_state === 'PendingReplicaDeletion';
  if (operation === 'CreateKey') return 'the key exists';
  if (operation === 'CancelKeyDeletion') return isPending ? null : 'not pending deletion';
  if (isPending) return 'pending deletion';
  if (operation === 'EnableKeyRotation' || operation === 'DisableKeyRotation') {
    if (key.rotation === null) return 'rotation does not apply';
    if (key.key_state === 'Disabled') return 'disabled';
  }
  if (operation === 'TagResource') {
    const tags = { ...key.tags, ...(parameters as { Tags: Tags }).Tags };
    if (Object.keys(tags).length > 50) return 'too many tags';
    if (Object.keys((parameters as { Tags: Tags }).Tags).some((name) => /^aws:/i.test(name))) return 'reserved tag';
  }
  if (operation === 'UntagResource') {
    if ((parameters as { TagKeys: string[] }).TagKeys.some((name) => /^aws:/i.test(name))) return 'reserved tag';
  }
  return null;
}

function carryOut(
  desired: DesiredKey,
  observed: ObservedKey | null,
  steps = plan(desired, observed),
): { reached: ObservedKey | null; steps: Step[] } {
  let reached = observed;
  for (const step of steps) {
    if (reached === null) {
      if (step.operation !== 'CreateKey') throw new Error(`${step.operation} of no key`);
      const { key_usage, customer_master_key_spec, custom_key_store_id, xks_key_id, multi_region } = desired;
      const fixed = { key_usage, customer_master_key_spec, custom_key_store_id, xks_key_id, multi_region };
      const described = { ...usualKey, ...fixed, description: step.parameters.Description };
      reached = afterCreate(described, step, step.parameters.Policy ?? { Statement: [] });
      continue;
    }
    const refused = refusal(reached, step);
    if (refused !== null) throw new Error(`${step.operation} is refused: ${refused}`);
    if (step.operation !== 'CreateKey')
      reached = afterStep(reached, step, { deletion_date: '2030-01-01T00:00:00.000Z', key_state: null });
  }
  return { reached, steps };
}

test('I4, 10,000 pairs: the plan meets no refusal, and what it leads to needs no plan and has no drift', async () => {
  fc.assert(
    fc.property(pair, ({ desired, observed }) => {
      const { reached } = carryOut(desired, observed);
      assert.deepEqual(plan(desired, reached), []);
      if (reached !== null) assert.deepEqual(differences(desired, reached), []);
    }),
    { numRuns: 10_000 },
  );
});

test('10,000 pairs: each write changes the fields that its entry names, and no others', async () => {
  fc.assert(
    fc.property(pair, ({ desired, observed }) => {
      let key = observed;
      for (const step of observed === null ? [] : plan(desired, observed)) {
        const after = key === null || step.operation === 'CreateKey' ? null : afterStep(key, step);
        if (after === null || key === null) throw new Error(`${step.operation} of a key that exists`);
        // What the state says of it goes along.
        const { changes } = operationTable[step.operation];
        const named = Object.fromEntries(changes.map((field) => [field, after[field]]));
        assert.deepEqual({ ...key, ...named, enabled: after.enabled }, after);
        key = after;
      }
    }),
    { numRuns: 10_000 },
  );
});

function isClaim(step: Step | undefined): boolean {
  return step?.operation === 'TagResource' && Object.keys(step.parameters.Tags).join() === 'keyward:id';
}

test('10,000 pairs: the ownership tag is put back before anything else is changed', async () => {
  fc.assert(
    fc.property(pair, ({ desired, observed }) => {
      if (observed === null || desired.lifecycle === 'released' || observed.tags['keyward:id'] !== undefined) return;
      const steps = plan(desired, observed).filter(({ operation }) => operation !== 'CancelKeyDeletion');
      if (steps.length > 0 && Object.keys(observed.tags).length < 50) assert.ok(isClaim(steps[0]));
    }),
    { numRuns: 10_000 },
  );
});

test('10,000 pairs: within a part of a key nothing of the rest is touched', async () => {
  const operations = ['EnableKey', 'DisableKey', 'EnableKeyRotation', 'UpdateKeyDescription', 'PutKeyPolicy'];
  fc.assert(
    fc.property(pair, fc.subarray(operations), ({ desired, observed }, unknown) => {
      if (observed === null || desired.lifecycle !== 'managed') return;
      const scope = scopeOf(unknown.map((operation) => ({ operation, parameters: {} })));
      const { reached } = carryOut(desired, observed, planWithin(scope, desired, observed));
      const isPending = observed.key_state.startsWith('Pending');
      const expected = differences(desired, observed).filter((one) => isPending || !isWithin(scope, one));
      assert.deepEqual(differences(desired, reached ?? observed), expected);
    }),
    { numRuns: 10_000 },
  );
});

test('10,000 pairs: no step is without need, and no operation comes twice', async () => {
  fc.assert(
    fc.property(pair, ({ desired, observed }) => {
      const { steps, reached } = carryOut(desired, observed);
      const [first, second] = steps.slice(steps[0]?.operation === 'CancelKeyDeletion' ? 1 : 0);
      const rest = isClaim(first) && second !== undefined ? steps.filter((step) => step !== first) : steps;
      const calls = rest.map(({ operation, parameters }) =>
        'AliasName' in parameters ? parameters.AliasName : operation,
      );
      assert.equal(new Set(calls).size, rest.length);
      if (observed === null || reached === null || desired.lifecycle !== 'managed') return;
      const operations = new Set(steps.map(({ operation }) => operation));
      assert.equal(operations.has('UpdateKeyDescription'), observed.description !== desired.description);
      assert.equal(operations.has('CancelKeyDeletion'), observed.key_state.startsWith('Pending'));
      if (observed.key_state === 'Enabled') assert.equal(operations.has('EnableKey'), false);
      if (desired.policy === null) assert.equal(operations.has('PutKeyPolicy'), false);
    }),
    { numRuns: 10_000 },
  );
});

const untellingStates = ['Creating', 'Updating', 'Unavailable', 'PendingImport', 'Migrating'];

/** Leaves some of what a key is open, as a KMS does that does not tell. */
const untelling = fc.record({
  state: fc.constantFrom(null, ...untellingStates),
  description: fc.boolean(),
  policy: fc.boolean(),
  rotation: fc.constantFrom('told', 'period', 'all'),
});
type Untelling = typeof untelling extends fc.Arbitrary<infer Value> ? Value : never;

function untold(key: ObservedKey, { state, description, policy, rotation }: Untelling): ObservedKey {
  const whole = key.rotation ?? null;
  return {
    ...key,
    ...(state === null ? {} : { key_state: state as ObservedKey['key_state'], enabled: null, deletion_date: null }),
    ...(description ? { description: null } : {}),
    ...(policy ? { policy: null } : {}),
    ...(rotation === 'period' && whole !== null ? { rotation: { ...whole, period_in_days: null } } : {}),
    ...(rotation === 'all' && whole !== null ? { rotation: { enabled: null, period_in_days: null } } : {}),
  };
}

const writesOf = {
  state: /^(En|Dis)ableKey$/,
  description: /^UpdateKeyDescription$/,
  policy: /^PutKeyPolicy$/,
  rotation: /^(En|Dis)ableKeyRotation$/,
};

test('I9, 10,000 pairs: what KMS does not tell is no drift, and nothing is written for it', async () => {
  fc.assert(
    fc.property(pair, untelling, ({ desired, observed }, untelling) => {
      if (observed === null || desired.lifecycle !== 'managed') return;
      const read = untold(observed, untelling);
      const operations = plan(desired, read).map(({ operation }) => operation);
      const fields = differences(desired, read).map(({ field }) => field);
      const isSilent = (name: keyof typeof writesOf, field: string) => {
        assert.deepEqual(
          operations.filter((operation) => writesOf[name].test(operation)),
          [],
        );
        assert.equal(fields.includes(field), false, field);
      };
      // Only a change of rotation enables a key in between.
      if (untelling.state !== null) isSilent('state', 'is_enabled');
      if (untelling.description) isSilent('description', 'description');
      if (untelling.policy) isSilent('policy', 'policy');
      if (untelling.rotation === 'all' && observed.rotation !== null) isSilent('rotation', 'enable_key_rotation');
      if (untelling.rotation === 'period') assert.equal(fields.includes('rotation_period_in_days'), false);
    }),
    { numRuns: 10_000 },
  );
});

test('10,000 pairs: what KMS does not tell is as it was known, so a change of it is written', async () => {
  fc.assert(
    fc.property(pair, untelling, ({ desired, observed }, untelling) => {
      if (observed === null || desired.lifecycle !== 'managed' || observed.key_state.startsWith('Pending')) return;
      const read = withKnown(untold(observed, untelling), observed);
      assert.deepEqual(plan(desired, read), plan(desired, observed));
      const held = withDeclared(untold(observed, { ...untelling, state: 'Unavailable' }), desired);
      assert.equal(held.enabled, desired.is_enabled);
    }),
    { numRuns: 10_000 },
  );
});

test('the state of a key that is being made, updated or away says nothing of enabled or disabled', async () => {
  for (const state of untellingStates) assert.equal(enabledIn(state as ObservedKey['key_state']), null, state);
  assert.equal(enabledIn('Enabled'), true);
  assert.equal(enabledIn('Disabled'), false);
});
