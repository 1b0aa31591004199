/** Keys as they may be declared and as KMS may hold them, for tests of properties. */
import fc from 'fast-check';
import type { DesiredKey, ObservedKey } from '../../src/domain/arguments.ts';
import { keySpecs, usagesBySpec } from '../../src/domain/key-specs.ts';
import { enabledIn } from '../../src/domain/key-state.ts';
import { mergeTags } from '../../src/domain/tags.ts';
import type { Tags } from '../../src/domain/values.ts';

const policy = fc.constantFrom('A', 'B', 'C').map((Sid) => ({ Version: '2012-10-17', Statement: [{ Sid }] }));
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
      description: fc.constantFrom('', 'a', 'b'),
      policy: fc.option(policy),
      bypass_policy_lockout_safety_check: fc.boolean(),
      deletion_window_in_days: fc.integer({ min: 7, max: 30 }),
      is_enabled: fc.boolean(),
      enable_key_rotation: rotates ? fc.boolean() : fc.constant(false),
      rotation_period_in_days: fc.constantFrom(90, 365, 2560),
      tags_all: tagSet(49),
      ignores: fc.boolean(),
      lifecycle: fc.constantFrom('managed', 'managed', 'managed', 'pending_deletion', 'released'),
    })
    .map(({ tags_all, ignores, ...key }) => ({
      ...fixed,
      ...key,
      ...(ignores ? withIgnored(tags_all) : { tags_all, ignore_tags: { keys: [], key_prefixes: [] } }),
      tags: tags_all,
      rotation_period_in_days: key.enable_key_rotation ? key.rotation_period_in_days : null,
      ownership_tag: ownership,
    }));
  const observed: fc.Arbitrary<ObservedKey> = fc
    .record({
      description: fc.constantFrom('', 'a', 'b'),
      policy,
      state: fc.constantFrom('Enabled', 'Disabled', 'PendingDeletion', 'PendingReplicaDeletion'),
      rotation: rotates
        ? fc.constantFrom(null, 90, 365, 2560).map((days) => ({ enabled: days !== null, period_in_days: days }))
        : fc.constant(null),
      tags: tagSet(48),
      owner: fc.constantFrom(null, ownership.value, 'another'),
      awsTag: fc.boolean(),
    })
    .map(({ state, tags, owner, awsTag, ...key }) => ({
      ...fixed,
      ...key,
      arn: 'arn:aws:kms:us-east-1:111122223333:key/k',
      key_id: 'k',
      origin: 'AWS_KMS',
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
