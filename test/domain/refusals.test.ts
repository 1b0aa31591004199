import { test } from 'tap';
import { plan } from '../../src/domain/planner.ts';
import { refusalsOf } from '../../src/domain/refusals.ts';
import type { DesiredKey, ObservedKey } from '../../src/domain/types.ts';
import { usualDesired, usualKey } from '../support/keys.ts';

const observed: ObservedKey = { ...usualKey, description: 'a' };
const desired: DesiredKey = {
  ...usualDesired,
  description: 'b',
  enable_key_rotation: true,
  rotation_period_in_days: 365,
};

function codes(key: ObservedKey, wanted = desired): string[] {
  return refusalsOf(wanted, key, plan(wanted, key)).map(({ operation, code }) => `${operation} ${code}`);
}

test('refusals', async (t) => {
  t.same(codes(observed), []);
  t.same(codes({ ...observed, key_state: 'Disabled', enabled: false }), [], 'the key is enabled first');
  t.same(codes({ ...observed, key_state: 'PendingDeletion', enabled: null }), [], 'the deletion is cancelled first');
  t.same(codes({ ...observed, rotation: null, origin: 'EXTERNAL' }), [
    'EnableKeyRotation UnsupportedOperationException',
  ]);
  t.same(codes({ ...observed, key_state: 'Updating', enabled: null }), [
    'EnableKeyRotation KMSInvalidStateException',
    'UpdateKeyDescription KMSInvalidStateException',
  ]);
  t.same(codes({ ...observed, key_state: 'Unavailable', enabled: null }), [
    'EnableKeyRotation KMSInvalidStateException',
  ]);
  const tagged = (prefix: string) => {
    const others = Object.fromEntries(Array.from({ length: 49 }, (_, index) => [`${prefix}${index}`, '']));
    const ignore_tags = { keys: [], key_prefixes: ['other'] };
    return codes(
      { ...observed, tags: { ...observed.tags, ...others } },
      { ...desired, tags_all: { a: '1' }, ignore_tags },
    );
  };
  t.same(tagged('other'), ['TagResource TagException']);
  t.same(tagged('aws:tag'), [], "AWS's own tags don't count");
  const waiting: ObservedKey = {
    ...observed,
    key_state: 'PendingImport',
    enabled: null,
    rotation: null,
    origin: 'EXTERNAL',
  };
  t.same(codes(waiting, { ...desired, enable_key_rotation: false, rotation_period_in_days: null }), []);
});
