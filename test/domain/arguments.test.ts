import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'tap';
import { adopted, imported, leftAlone } from '../../src/domain/adoption.ts';
import { argumentNames, type DesiredKey, nothingDeclared, type ObservedKey } from '../../src/domain/arguments.ts';
import { argumentOf, declaredNow, differences } from '../../src/domain/drift.ts';
import { withDefaults } from '../../src/domain/key-rules.ts';
import { isPendingDeletion } from '../../src/domain/key-state.ts';
import { mergeTags, ownTags } from '../../src/domain/tags.ts';
import { pair } from '../support/key-pairs.ts';
import { usualDesired, usualKey } from '../support/keys.ts';

/** Pairs of a key that is managed, with the tags in KMS that its owner can be said to have asked for. */
const managed = pair.map(({ desired, observed }) => {
  const settings = { default_tags: {}, ignore_tags: desired.ignore_tags };
  const ofOwner = (key: ObservedKey) => ownTags(key.tags, settings, desired.ownership_tag.name, desired.tags);
  const withTags = (declared: DesiredKey): DesiredKey => ({
    ...declared,
    tags_all: mergeTags(settings, declared.tags),
  });
  const isManaged = observed !== null && desired.lifecycle === 'managed' && !isPendingDeletion(observed);
  return { desired, observed: isManaged ? observed : null, ofOwner, withTags };
});

test('10,000 pairs: what is adopted, or imported, is no drift', async () => {
  fc.assert(
    fc.property(managed, ({ desired, observed, ofOwner, withTags }) => {
      if (observed === null) return;
      const tags = ofOwner(observed);
      assert.deepEqual(differences(withTags(adopted(desired, observed, tags)), observed), []);
      assert.deepEqual(differences(withTags({ ...desired, ...imported(observed, tags) }), observed), []);
    }),
    { numRuns: 10_000 },
  );
});

test('10,000 pairs: what differs can be left alone, and nothing else is', async () => {
  fc.assert(
    fc.property(managed, ({ desired, observed }) => {
      if (observed === null) return;
      const found = differences(desired, observed).filter(({ field }) => !/^(tags|aliases)\./.test(field));
      for (const difference of found) {
        const name = argumentOf(difference);
        assert.notEqual(name, null, `${difference.field} is an argument`);
        const left = differences(leftAlone(desired, observed, name === null ? [] : [name]), observed);
        assert.ok(!left.some(({ field }) => field === difference.field));
        const others = (entries: { field: string }[]) => entries.filter(({ field }) => !/rotation/.test(field));
        if (!/rotation/.test(difference.field))
          assert.equal(others(left).length, others(differences(desired, observed)).length - 1);
      }
    }),
    { numRuns: 10_000 },
  );
});

test('10,000 pairs: a difference that is gone is told with what is declared, of its own field', async () => {
  fc.assert(
    fc.property(pair, ({ desired, observed }) => {
      if (observed === null) return;
      for (const difference of differences(desired, observed)) {
        assert.deepEqual(declaredNow(desired, difference), difference.desired);
      }
    }),
    { numRuns: 10_000 },
  );
});

test('of a field that is no argument nothing is declared', async (t) => {
  t.equal(declaredNow(usualDesired, { field: 'colour', desired: 'red', observed: 'blue' }), null);
  t.equal(
    declaredNow(usualDesired, { field: 'key_state', desired: 'Enabled', observed: 'PendingDeletion' }),
    'Enabled',
  );
});

test('where rotation does not apply, none is declared of a key that is taken as it is', async (t) => {
  const key: ObservedKey = { ...usualKey, rotation: null };
  const desired: DesiredKey = { ...usualDesired, enable_key_rotation: true, rotation_period_in_days: 90 };
  const off = { enable_key_rotation: false, rotation_period_in_days: null };
  t.same(differences(desired, key), [{ field: 'enable_key_rotation', desired: true, observed: null }]);
  t.match(adopted(desired, key, {}), off);
  t.match(imported(key, {}), off);
});

test('what a caller leaves out, or sets to null, is the default, and a period comes with rotation', async (t) => {
  t.same(withDefaults({}), nothingDeclared);
  t.same(withDefaults(Object.fromEntries(argumentNames.map((name) => [name, null]))), nothingDeclared);
  t.match(withDefaults({ enable_key_rotation: true }), { rotation_period_in_days: 365 });
});
