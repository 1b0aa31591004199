import fc from 'fast-check';
import { test } from 'tap';
import { statedKey } from '../../src/domain/terraform-state.ts';
import { StateReader, UnreadableState } from '../../src/services/imports/state-reader.ts';

/** As whoever has the whole file would read it. */
type Resource = {
  module?: string;
  mode: string;
  type: string;
  name: string;
  instances: { index_key?: string | number; deposed?: string; attributes: Record<string, unknown> }[];
};

function expected(resources: Resource[]) {
  return resources
    .filter(({ type }) => type === 'aws_kms_key')
    .flatMap(({ module, mode, name, instances }) =>
      instances.map(({ index_key: key, deposed, attributes }) => {
        const index = typeof key === 'number' ? `[${key}]` : key === undefined ? '' : `["${key}"]`;
        const within = module === undefined ? '' : `${module}.`;
        const data = mode === 'managed' ? '' : 'data.';
        return {
          address: `${within}${data}aws_kms_key.${name}${index}${deposed === undefined ? '' : ` (deposed ${deposed})`}`,
          arn: typeof attributes['arn'] === 'string' ? attributes['arn'] : null,
          stated: statedKey(attributes as Parameters<typeof statedKey>[0]),
          why: mode !== 'managed' ? 'data_source' : deposed === undefined ? null : 'deposed',
        };
      }),
    );
}

const word = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/);
const texts = fc.string({ unit: 'grapheme', maxLength: 300 });
const attributes = fc.record(
  {
    arn: fc.option(texts.filter((text) => text.length > 0)),
    description: texts,
    policy: fc.oneof(texts, fc.constant('{"Version":"2012-10-17","Statement":[]}')),
    is_enabled: fc.boolean(),
    deletion_window_in_days: fc.option(fc.integer({ min: 0, max: 40 })),
    rotation_period_in_days: fc.option(fc.integer({ min: 0, max: 2560 })),
    tags: fc.option(fc.dictionary(word, texts)),
    tags_all: fc.option(fc.dictionary(fc.oneof(word, fc.constant('__proto__')), fc.oneof(texts, fc.jsonValue()))),
    timeouts: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const resource: fc.Arbitrary<Resource> = fc.record(
  {
    module: fc.constantFrom('module.a', 'module.b["x"].module.c[0]'),
    mode: fc.constantFrom('managed', 'managed', 'data'),
    type: fc.constantFrom('aws_kms_key', 'aws_kms_key', 'aws_kms_alias'),
    name: word,
    instances: fc.array(
      fc.record(
        { index_key: fc.oneof(word, fc.nat(9)), deposed: fc.constant('0a1b2c3d'), attributes, private: texts },
        { requiredKeys: ['attributes'] },
      ),
      { maxLength: 3 },
    ),
  },
  { requiredKeys: ['mode', 'type', 'name', 'instances'] },
) as fc.Arbitrary<Resource>;

/** The members of every object in another order, as a tool that sorts names leaves them. */
function reversed(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(reversed);
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, member]) => [name, reversed(member)]),
  );
}

function read(text: string, cuts: number[]) {
  const reader = new StateReader();
  const places = [...new Set([0, ...cuts.map((cut) => cut % (text.length + 1)), text.length])].sort((a, b) => a - b);
  for (const [index, place] of places.entries()) reader.push(text.slice(place, places[index + 1] ?? text.length));
  return reader.end().instances;
}

test('a state is read the same, wherever its text is cut, however it is written and in whatever order its members are', async (t) => {
  fc.assert(
    fc.property(
      fc.array(resource, { maxLength: 4 }),
      fc.jsonValue(),
      fc.array(fc.nat(), { maxLength: 30 }),
      fc.constantFrom(undefined, 2),
      fc.boolean(),
      (resources, outputs, cuts, indent, isReversed) => {
        const state = { version: 4, outputs: { any: outputs }, resources, check_results: null };
        const text = JSON.stringify(isReversed ? reversed(state) : state, null, indent);
        const whole = JSON.parse(JSON.stringify(resources)) as Resource[];
        t.same(read(text, cuts), expected(whole));
      },
    ),
    { numRuns: 200 },
  );
});

test('a state that is cut off, or has a fault, is not read, and no word of it is told', async (t) => {
  const secret = 'hunter2-correct-horse';
  const text = JSON.stringify({
    version: 4,
    resources: [{ type: 'aws_db', instances: [{ attributes: { password: secret } }] }],
  });
  const fault = (cut: string): unknown => {
    try {
      return read(cut, []);
    } catch (error) {
      return error;
    }
  };
  const cuts = Array.from({ length: text.length }, (_, length) => text.slice(0, length));
  for (const cut of [...cuts, text.replace(secret, `${secret}\n`)]) {
    const error = fault(cut);
    if (!(error instanceof UnreadableState) || error.kind !== 'json' || /hunter2/.test(String(error))) {
      t.fail(`${cut}: ${String(error)}`);
    }
  }
});

test('a file of 50 MB takes the memory of its keys', async (t) => {
  const others = `{"mode":"managed","type":"aws_x","name":"x","instances":[{"attributes":{"data":"${'x'.repeat(10_000)}"}}]},`;
  const key = '{"mode":"managed","type":"aws_kms_key","name":"k","instances":[{"attributes":{"arn":"arn:k"}}]}';
  const reader = new StateReader();
  reader.push('{"version":4,"resources":[');
  const before = process.memoryUsage.rss();
  for (let written = 0; written < 50_000_000; written += others.length) reader.push(others);
  reader.push(`${key}]}`);
  t.same(
    reader.end().instances.map(({ arn }) => arn),
    ['arn:k'],
  );
  const grown = (process.memoryUsage.rss() - before) / 1e6;
  t.ok(grown < 100, `${grown.toFixed(0)} MB`);
  t.comment(`grew by ${grown.toFixed(0)} MB`);
});
