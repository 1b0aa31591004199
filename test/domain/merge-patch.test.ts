import fc from 'fast-check';
import { test } from 'tap';
import { mergePatch } from '../../src/domain/merge-patch.ts';
import type { Json } from '../../src/domain/types.ts';

test('RFC 7396, appendix A: example test cases', async (t) => {
  const cases: [target: Json, patch: Json, result: Json][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of cases) t.same(mergePatch(target, patch), result, JSON.stringify(patch));
});

test('a patch applied twice is a patch applied once, and no argument is changed', async (t) => {
  const value = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json>;
  fc.assert(
    fc.property(value, value, (target, patch) => {
      const before = JSON.stringify([target, patch]);
      const once = mergePatch(target, patch);
      t.strictSame(JSON.stringify([target, patch]), before);
      return JSON.stringify(mergePatch(once, patch)) === JSON.stringify(once);
    }),
    { numRuns: 200 },
  );
});

test('a member named __proto__ is a member like any other', async (t) => {
  const patched = mergePatch({}, JSON.parse('{"__proto__":"x"}')) as object;
  t.same(Object.entries(patched), [['__proto__', 'x']]);
});
