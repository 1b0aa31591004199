import fc from 'fast-check';
import { test } from 'tap';
import { patchedTags } from '../../src/domain/tags.ts';

test('a PATCH of tags sets and removes those that it names, and no other', async (t) => {
  t.same(patchedTags({ kept: '1', changed: '1', gone: '1' }, { changed: '2', gone: null, never: null, added: '3' }), {
    kept: '1',
    changed: '2',
    added: '3',
  });
  t.same(patchedTags({ kept: '1' }, null), {});
});

test('a patch of tags applied twice is one applied once, no argument is changed, and any name is a name', async (t) => {
  const name = fc.oneof(fc.constantFrom('__proto__', 'constructor', 'a', 'b'), fc.string());
  const tags = fc.dictionary(name, fc.string(), { noNullPrototype: true });
  const patch = fc.dictionary(name, fc.option(fc.string()), { noNullPrototype: true });
  fc.assert(
    fc.property(tags, patch, (before, change) => {
      const given = JSON.stringify([before, change]);
      const once = patchedTags(before, change);
      t.strictSame(JSON.stringify([before, change]), given);
      const isSet = Object.entries(change).every(([tag, value]) =>
        value === null ? !Object.hasOwn(once, tag) : Object.hasOwn(once, tag) && once[tag] === value,
      );
      return isSet && JSON.stringify(patchedTags(once, change)) === JSON.stringify(once);
    }),
    { numRuns: 200 },
  );
});
