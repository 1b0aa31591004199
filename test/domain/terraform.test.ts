import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'tap';
import { nothingDeclared } from '../../src/domain/arguments.ts';
import { mergeTags } from '../../src/domain/tags.ts';
import { bareProviderBlock, head, keyBlocks, providerBlocks } from '../../src/domain/terraform/configuration.ts';
import { blockOf, commentOf, Encoded } from '../../src/domain/terraform/hcl.ts';
import { aliasesOf, resourceName } from '../../src/domain/terraform/names.ts';
import type { DesiredKey, Json } from '../../src/domain/types.ts';
import { usualDesired, usualKey } from '../support/keys.ts';
import { decoded, readHcl, resourceOf } from '../support/terraform.ts';

/** What a text, a name or a document must not be able to end or to begin. */
const awkward = [
  '$' + '{x}',
  '%{if true}',
  '$$' + '{x}',
  '%%{x}',
  '$$$$${',
  '$',
  '%',
  '"',
  '\\',
  '\\"',
  '\n',
  '\r\n',
  '\t',
  '<<EOT\nEOT',
  '#',
  '//',
  '/*',
  '*/',
  '}',
  '{',
  '\u0007',
  '\u200B',
  '\u202E',
  '\u2028',
  '\uFEFF',
  'é',
  'e\u0301',
  '\u{1F511}',
  '\u{E0001}',
  'for',
  'null',
  'false',
  'if',
  'in',
  'Version',
  'true',
] as const;
const text = fc
  .array(fc.oneof(fc.constantFrom(...awkward), fc.string({ unit: 'binary', maxLength: 4 })), { maxLength: 6 })
  .map((parts) => parts.join('').replaceAll('\0', ''));

/** Terraform's own form of every text; an object has no two names that are one in it. */
const normal = (value: unknown): unknown => {
  if (typeof value === 'string') return value.normalize('NFC');
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(normal);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name.normalize('NFC'), normal(member)]));
};

const json = fc.letrec<{ any: Json }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    text,
    fc.integer(),
    fc.constantFrom(1e21, -1.5, 0.1),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(text, tie('any'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).any;

test('any value is read as what it was', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(text, json), { minLength: 1, maxLength: 12 }), (pairs) => {
      const blocks = pairs.map(([label, value], index) =>
        blockOf({
          type: 'item',
          labels: [`n${index}`],
          attributes: [
            ['label', label],
            ['value', value],
            ['encoded', new Encoded({ value })],
          ],
        }),
      );
      const read = readHcl(pairs.map(([label]) => commentOf(label)).join('') + blocks.join('')) as unknown as {
        item: Record<string, { label: string; value: Json; encoded: Json }[]>;
      };
      for (const [index, [label, value]] of pairs.entries()) {
        const item = read.item[`n${index}`]?.[0];
        assert.deepEqual(item?.label, normal(label));
        assert.deepEqual(item?.value, normal(value));
        assert.deepEqual(decoded(item?.encoded ?? null), normal({ value }));
      }
    }),
    { numRuns: 150 },
  );
});

test('names are those of HCL, one for each key, and do not change with other keys', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(text, fc.uuid())), (keys) => {
      const taken = new Set<string>();
      for (const [description, id] of keys) {
        const name = resourceName({ id, description }, taken);
        assert.match(name, /^[a-z][a-z0-9_]*$/);
      }
      assert.equal(
        taken.size,
        new Set(keys.map(([description, id]) => `${resourceName({ id, description }, new Set())}${id}`)).size,
      );
      const aliases = [...aliasesOf([...new Set(keys.map(([description]) => description))]).values()];
      assert.equal(new Set(aliases).size, aliases.length);
      for (const alias of aliases) assert.match(alias, /^[a-z][a-z0-9_]*$/);
    }),
  );
  const id = '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10';
  t.equal(
    resourceName({ id, description: 'Card data: Zahlungen für ÖBB' }, new Set()),
    'card_data_zahlungen_fur_obb_3b5e8d1c2a10',
  );
  t.equal(resourceName({ id, description: '' }, new Set()), 'key_3b5e8d1c2a10');
  t.same(
    [...aliasesOf(['payments-prod', 'payments.prod', '1']).values()],
    ['provider_1', 'payments_prod', 'payments_prod_2'],
  );
});

const settings = {
  region: 'eu-west-1',
  endpoint: null,
  assume_role: { role_arn: 'arn:aws:iam::111122223333:role/x', external_id: 'not to be told', session_name: 'kw' },
  allowed_account_ids: ['111122223333'],
  default_tags: { env: 'prod', 'a:b': 'c d' },
  ignore_tags: { keys: ['map'], key_prefixes: ['backup:'] },
  drift_policy: 'enforce' as const,
  refresh_interval_seconds: 600,
  quotas: null,
};

test('a provider, with its role, accounts and tags', async (t) => {
  const written = providerBlocks('eu', { settings, ownershipTagName: 'keyward:id', isAws: true });
  t.notMatch(written, 'not to be told');
  const { provider, variable } = readHcl(head + written);
  t.same(provider?.aws, [
    {
      alias: 'eu',
      region: 'eu-west-1',
      allowed_account_ids: ['111122223333'],
      assume_role: [
        { role_arn: settings.assume_role.role_arn, session_name: 'kw', external_id: '$' + '{var.eu_external_id}' },
      ],
      default_tags: [{ tags: settings.default_tags }],
      ignore_tags: [{ keys: ['map', 'keyward:id'], key_prefixes: ['backup:'] }],
    },
  ]);
  t.match(variable?.['eu_external_id'], [{ sensitive: true }]);
  const elsewhere = { ...settings, endpoint: 'http://127.0.0.1:1', assume_role: null };
  const { provider: other } = readHcl(
    providerBlocks('eu', { settings: elsewhere, ownershipTagName: 'o', isAws: false }),
  );
  t.match(other?.aws[0], { endpoints: [{ kms: 'http://127.0.0.1:1', sts: 'http://127.0.0.1:1' }] });
  t.same(readHcl(bareProviderBlock('eu', 'eu-west-1', 'o')).provider?.aws, [
    { alias: 'eu', region: 'eu-west-1', ignore_tags: [{ keys: ['o'] }] },
  ]);
});

test('a key: what is at its default is left out, and so are tags that a plan would tell of', async (t) => {
  const written = (declared: Partial<typeof nothingDeclared>, desired: Partial<DesiredKey> = {}) => {
    const whole = { ...nothingDeclared, ...declared };
    const aim: DesiredKey = { ...usualDesired, ...whole, tags_all: mergeTags(settings, whole.tags), ...desired };
    const key = {
      id: '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10',
      declared: whole,
      desired: aim,
      observed: usualKey,
      drift: [],
    };
    const { resource } = resourceOf(readHcl(keyBlocks(key, 'k', { alias: 'eu', settings })), usualKey.key_id);
    return resource;
  };
  const provider = '$' + '{aws.eu}';
  t.same(written({}), { provider });
  t.same(written({ tags: { env: 'prod', map: 'x', 'backup:y': 'z', team: 'a' } }), { provider, tags: { team: 'a' } });
  t.same(written({ deletion_protection: true, deletion_window_in_days: 7, is_enabled: false, multi_region: true }), {
    provider,
    multi_region: true,
    is_enabled: false,
    deletion_window_in_days: 7,
    lifecycle: [{ prevent_destroy: true }],
  });
});
