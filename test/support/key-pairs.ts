/** Keys as they may be declared and as KMS may hold them, for tests of properties. */
import fc from 'fast-check';
import {
  argumentTable,
  type DesiredKey,
  type HeldName,
  type ObservedKey,
  standardRotationPeriod,
  toldArguments,
  toldNames,
} from '../../src/domain/arguments.ts';
import { keySpecs, usagesBySpec } from '../../src/domain/key-specs.ts';
import { enabledIn } from '../../src/domain/key-state.ts';
import { mergeTags } from '../../src/domain/tags.ts';
import type { Tags } from '../../src/domain/values.ts';
import { valuesOf } from './argument-values.ts';
import { usualKey } from './keys.ts';

const policies = ['A', 'B', 'C'].map((Sid) => ({ Version: '2012-10-17', Statement: [{ Sid }] }));

type SampledName = Exclude<HeldName, 'tags'>;
const sampledNames = toldNames.filter(
  (name): name is SampledName => argumentTable[name].kind === 'held' && name !== 'tags',
);

/** Values of each argument that KMS holds and calls change. Tags are drawn apart: there are many under one name. */
export const samples = Object.fromEntries(
  sampledNames.map((name) => [name, name === 'policy' ? [null, ...policies] : valuesOf(name)]),
) as { [Name in SampledName]: DesiredKey[Name][] };

type Sampled = Pick<DesiredKey, SampledName>;

/** @param rotates whether rotation applies. A key that does not rotate has no period. */
function anyHeld(rotates: boolean): fc.Arbitrary<Sampled> {
  const arbitraries = Object.entries(samples).map(([name, values]) => [name, fc.constantFrom<unknown>(...values)]);
  return (fc.record(Object.fromEntries(arbitraries)) as unknown as fc.Arbitrary<Sampled>).map((held) => {
    const enable_key_rotation = rotates && held.enable_key_rotation;
    const period = held.rotation_period_in_days ?? standardRotationPeriod;
    const rotation_period_in_days = enable_key_rotation ? period : null;
    return { ...held, enable_key_rotation, rotation_period_in_days };
  });
}

/** The usual key as it is seen while it holds these values; null leaves it as it is. */
function holding(held: Sampled): ObservedKey {
  let key = usualKey;
  for (const name of sampledNames) {
    const value = held[name];
    const argument = toldArguments[name];
    if (value !== null) key = { ...key, ...(argument.holding?.(value, key) ?? { [argument.shownIn]: value }) };
  }
  return key;
}

const tagName = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('team', 'env', '__proto__', 'constructor', 'a:b') },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 60 }).map((n) => `tag${n}`) },
);
const tagSet = (most: number) =>
  fc
    .uniqueArray(fc.tuple(tagName, fc.constantFrom('', '1', '2')), { maxLength: most, selector: ([name]) => name })
    .map((entries): Tags => Object.fromEntries(entries));
const immutable = fc.constantFrom(...keySpecs).chain((spec) =>
  fc.record({
    customer_master_key_spec: fc.constant(spec),
    key_usage: fc.constantFrom(...usagesBySpec[spec]),
    custom_key_store_id: fc.constant(null),
    xks_key_id: fc.constant(null),
    multi_region: fc.boolean(),
  }),
);
/** Few enough to leave room for the tags that others may have put there. */
function withIgnored(tags: Tags) {
  const ignore_tags = { keys: ['team'], key_prefixes: ['tag1'] };
  const few = Object.fromEntries(Object.entries(tags).slice(0, 36));
  return { tags_all: mergeTags({ default_tags: {}, ignore_tags }, few), ignore_tags };
}

const ownership = { name: 'keyward:id', value: '01980e6c-0000-7000-8000-000000000000' };

/** Any key, and what KMS holds of it; null: KMS has no such key. */
export const pair = immutable.chain((fixed) => {
  const rotates = fixed.customer_master_key_spec === 'SYMMETRIC_DEFAULT';
  const desired: fc.Arbitrary<DesiredKey> = fc
    .record({
      held: anyHeld(rotates),
      bypass_policy_lockout_safety_check: fc.boolean(),
      deletion_window_in_days: fc.integer({ min: 7, max: 30 }),
      tags_all: tagSet(49),
      ignores: fc.boolean(),
      lifecycle: fc.constantFrom('managed', 'managed', 'managed', 'pending_deletion', 'released'),
    })
    .map(({ held, tags_all, ignores, ...key }) => ({
      ...fixed,
      ...held,
      ...key,
      ...(ignores ? withIgnored(tags_all) : { tags_all, ignore_tags: { keys: [], key_prefixes: [] } }),
      tags: tags_all,
      ownership_tag: ownership,
    }));
  const observed: fc.Arbitrary<ObservedKey> = fc
    .record({
      held: anyHeld(rotates),
      state: fc.constantFrom('Enabled', 'Disabled', 'PendingDeletion', 'PendingReplicaDeletion'),
      tags: tagSet(48),
      owner: fc.constantFrom(null, ownership.value, 'another'),
      awsTag: fc.boolean(),
    })
    .map(({ held, state, tags, owner, awsTag }) => ({
      ...holding(held),
      ...fixed,
      ...(rotates ? {} : { rotation: null }),
      key_state: state as ObservedKey['key_state'],
      enabled: enabledIn(state as ObservedKey['key_state']),
      tags: {
        ...tags,
        ...(owner === null ? {} : { [ownership.name]: owner }),
        ...(awsTag ? { 'aws:cloudformation:stack': 's' } : {}),
      },
      deletion_date: state === 'PendingDeletion' ? '2030-01-01T00:00:00.000Z' : null,
    }));
  return fc.record({ desired, observed: fc.option(observed, { freq: 10 }) });
});
