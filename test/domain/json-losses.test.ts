import fc from 'fast-check';
import { test } from 'tap';
import { lossesIn } from '../../src/domain/json-losses.ts';

const places = (text: string) => lossesIn(text).map(({ pointer }) => pointer);

test('members of one name and integers that would be rounded are told, each with its place', async (t) => {
  const cases: [text: string, ...pointers: string[]][] = [
    ['{"a":1,"a":1}', '/a'],
    ['{"a":1,"\\u0061":2}', '/a'],
    ['{"p":{"Statement":[{},{"x/~":1,"x/~":[{"b":1},{"b":2}]}]}}', '/p/Statement/1/x~1~0'],
    ['[1,[2,{"":{"a":9007199254740993}}]]', '/1/1//a'],
    ['{"a":9007199254740991,"b":-9007199254740992,"c":1e400}', '/b', '/c'],
    ['9007199254740992', ''],
    ['{"a":{"b":1},"c":{"b":1},"d":[{"b":1},{"b":1}],"e":"b,b:{\\"b\\"","f":1.5e3}'],
    ['{"9007199254740993":"9007199254740993","":[],"x":{}}'],
  ];
  for (const [text, ...pointers] of cases) t.same(places(text), pointers, text);
});

test('what JSON.stringify writes loses nothing, at any size', async (t) => {
  const value = fc.jsonValue({ maxDepth: 6 });
  fc.assert(
    fc.property(value, fc.nat(2), (any, indent) => {
      const text = JSON.stringify(
        any,
        (_, item) => (typeof item === 'number' ? Math.fround(item) % 1000 : item),
        indent,
      );
      return lossesIn(text).length === 0;
    }),
    { numRuns: 300 },
  );
  const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
  const start = performance.now();
  t.same(lossesIn(deep), []);
  t.same(lossesIn(JSON.stringify('\\"'.repeat(120_000))), []);
  t.ok(lossesIn(`{${Array.from({ length: 60_000 }, () => '"a":1').join()}}`).length <= 100);
  t.ok(performance.now() - start < 5000);
});
