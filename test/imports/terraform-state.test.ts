import { CreateKeyCommand, type CreateKeyCommandInput } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { type Import, largestState } from '../../src/schemas/imports.ts';
import { ended, importAll, itemsOf } from '../support/imports.ts';
import { type Problem, startService } from '../support/service.ts';

const stateType = 'application/vnd.keyward.tfstate+json';

test('an import of a Terraform state', async (t) => {
  const { url, call, kms, control } = await startService(t);
  const make = async (input: CreateKeyCommandInput = {}) => {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand(input));
    return { keyId: KeyMetadata?.KeyId ?? '', arn: KeyMetadata?.Arn ?? '' };
  };
  const upload = (body: string | Uint8Array<ArrayBuffer>, query = '') => send(`${url}/v1/imports${query}`, body);
  const send = async (address: string, body: string | Uint8Array<ArrayBuffer>) => {
    const response = await fetch(address, { method: 'POST', headers: { 'content-type': stateType }, body });
    return { status: response.status, body: (await response.json()) as Import & Problem };
  };
  const resource = (name: string, instances: object[], rest: object = {}) => ({
    mode: 'managed',
    type: 'aws_kms_key',
    name,
    provider: 'provider["registry.terraform.io/hashicorp/aws"]',
    instances,
    ...rest,
  });
  const stateWith = (resources: object[]) => ({ version: 4, terraform_version: '1.9.0', serial: 7, resources });

  t.test(
    'every instance of every module, count and for_each; data sources and deposed objects are said and left',
    async (t) => {
      const keys = await Promise.all(Array.from({ length: 6 }, (_, index) => make({ Description: `key ${index}` })));
      const at = (index: number, rest: object = {}) => ({
        attributes: { arn: keys[index]?.arn, description: `key ${index}`, ...rest },
      });
      const state = stateWith([
        resource('plain', [at(0)]),
        resource('counted', [
          { index_key: 0, ...at(1) },
          { index_key: 1, ...at(2) },
        ]),
        resource('each', [{ index_key: `a "b" \${c}`, ...at(3) }], { module: 'module.outer["x"].module.inner[2]' }),
        resource('going', [at(4), { deposed: '0a1b2c3d', ...at(5) }]),
        resource('read', [at(0)], { mode: 'data' }),
        resource('nothing', [{ attributes: { description: 'not made' } }]),
        {
          mode: 'managed',
          type: 'aws_s3_bucket',
          name: 'other',
          instances: [{ attributes: { arn: 'arn:aws:s3:::secret', policy: 'x' } }],
        },
      ]);
      const { import: over, items } = await importAll(call, { source: { terraform_state: state } });
      t.match(over, {
        source: 'terraform_state',
        provider: null,
        counts: { total: 8, imported: 5, skipped: 2, failed: 1 },
      });
      t.same(
        items.map(({ source, outcome, reason }) => [source, outcome, reason?.code ?? null]),
        [
          ['aws_kms_key.plain', 'imported', null],
          ['aws_kms_key.counted[0]', 'imported', null],
          ['aws_kms_key.counted[1]', 'imported', null],
          ['module.outer["x"].module.inner[2].aws_kms_key.each["a \\"b\\" $$' + '{c}"]', 'imported', null],
          ['aws_kms_key.going', 'imported', null],
          ['aws_kms_key.going (deposed 0a1b2c3d)', 'skipped', 'deposed'],
          ['data.aws_kms_key.read', 'skipped', 'data_source'],
          ['aws_kms_key.nothing', 'failed', 'no_arn'],
        ],
      );
    },
  );

  t.test('what KMS can not tell comes from the state; where they disagree, KMS is right and it is said', async (t) => {
    await call('PATCH', '/v1/providers/default', { default_tags: { env: 'prod' } });
    const key = await make({
      Description: 'as KMS has it',
      Tags: [
        { TagKey: 'team', TagValue: 'ops' },
        { TagKey: 'env', TagValue: 'prod' },
        { TagKey: 'shared', TagValue: 'yes' },
        { TagKey: 'own', TagValue: 'in KMS' },
      ],
    });
    const attributes = {
      arn: key.arn,
      description: 'as the state has it',
      deletion_window_in_days: 7,
      bypass_policy_lockout_safety_check: true,
      enable_key_rotation: false,
      is_enabled: true,
      custom_key_store_id: '',
      tags: { team: 'ops', own: 'in the state', gone: 'x' },
      tags_all: { team: 'ops', own: 'in the state', gone: 'x', env: 'prod', shared: 'yes' },
    };
    const source = { terraform_state: stateWith([resource('one', [{ attributes }])]) };
    await control.clear();
    const dry = await importAll(call, { source, dry_run: true, drift_policy: 'report' });
    const differences = [
      { field: 'description', stated: 'as the state has it', observed: 'as KMS has it' },
      { field: 'tags.gone', stated: 'x', observed: null },
      { field: 'tags.own', stated: 'in the state', observed: 'in KMS' },
    ];
    t.match(dry.items, [
      { outcome: 'imported', id: null, declared: { deletion_window_in_days: 7, drift_policy: 'report' } },
    ]);
    t.same(dry.items[0]?.differences, differences);
    const { items } = await importAll(call, { source });
    t.same(items[0]?.differences, differences);
    const { body } = await call('GET', `/v1/keys/${items[0]?.id}`);
    t.match(body, {
      description: 'as KMS has it',
      deletion_window_in_days: 7,
      bypass_policy_lockout_safety_check: true,
      tags: { team: 'ops', own: 'in KMS', shared: 'yes' },
      tags_all: { team: 'ops', own: 'in KMS', shared: 'yes', env: 'prod' },
    });
    t.notOk(Object.hasOwn(body.tags, 'env'), "the provider's default tag stays the provider's");
    t.same(
      [...new Set((await control.calls()).map(({ operation }) => operation))].filter((one) => one !== 'TagResource'),
      [],
    );
    await call('PATCH', '/v1/providers/default', { default_tags: {} });
  });

  t.test(
    'each key goes to the provider that its ARN names; of a provider that is given, the others are left',
    async (t) => {
      const here = await make();
      const elsewhere = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
      const china = 'arn:aws-cn:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
      const resources = [here.arn, elsewhere, china].map((arn, index) =>
        resource(`key${index}`, [{ attributes: { arn } }]),
      );
      const source = { terraform_state: stateWith(resources) };
      const { items } = await importAll(call, { source, dry_run: true });
      t.same(
        items.map(({ outcome, reason }) => [outcome, reason?.code ?? null]),
        [
          ['imported', null],
          ['failed', 'no_provider'],
          ['failed', 'no_provider'],
        ],
      );
      const only = await importAll(call, {
        provider: 'default',
        source: { terraform_state: stateWith(resources.slice(0, 2)) },
        dry_run: true,
      });
      t.same(
        only.items.map(({ outcome, reason }) => [outcome, reason?.code ?? null]),
        [
          ['imported', null],
          ['skipped', 'elsewhere'],
        ],
      );
    },
  );

  t.test('a state file is the body itself: streamed, with the rest as parameters', async (t) => {
    const key = await make();
    const text = JSON.stringify(stateWith([resource('uploaded', [{ attributes: { arn: key.arn } }])]), null, 2);
    const { status, body } = await upload(text, '?dry_run=true&drift_policy=adopt');
    t.equal(status, 202);
    t.match(body, { source: 'terraform_state', dry_run: true, drift_policy: 'adopt' });
    await ended(call, body.id);
    t.match(await itemsOf(call, body.id), [{ source: 'aws_kms_key.uploaded', outcome: 'imported' }]);
    t.equal((await call('POST', '/v1/imports?dry_run=true', { source: { all: true } })).status, 400);
  });

  t.test('what is no state of version 4 is refused, and nothing is recorded', async (t) => {
    const before = (await call<{ items: object[] }>('GET', '/v1/imports?limit=200')).body.items.length;
    const cases: [text: string, status: number, detail: RegExp][] = [
      ['', 400, /not valid JSON/],
      ['{"version": 4, "resources": [', 400, /not valid JSON/],
      ['{"version": 4, "resources": []} x', 400, /not valid JSON/],
      ['{"version": 3, "modules": []}', 422, /of version 3/],
      ['{"resources": []}', 422, /no version/],
      ['[]', 422, /JSON object/],
      ['"secret"', 422, /JSON object/],
      ['{"version": 4, "resources": []}', 422, /no aws_kms_key/],
      [JSON.stringify(stateWith([resource('many', Array(10_001).fill({}))])), 422, /more than 10000/],
      [`{"version": 4, "resources": ${'['.repeat(10_000)}`, 400, /not valid JSON/],
    ];
    for (const [text, status, detail] of cases) {
      const answer = await upload(text);
      t.equal(answer.status, status, text.slice(0, 40));
      t.match(answer.body.errors?.[0]?.detail ?? answer.body.detail, detail);
      t.notMatch(JSON.stringify(answer.body), /secret/);
    }
    t.equal((await upload(new Uint8Array([0x7b, 0xff, 0x7d]))).status, 400, 'no UTF-8');
    const tooLarge = await upload(' '.repeat(largestState + 1));
    t.match(tooLarge, { status: 413, body: { title: 'Body too large', detail: /67108864 bytes at most/ } });
    t.equal((await call<{ items: object[] }>('GET', '/v1/imports?limit=200')).body.items.length, before);
  });

  t.test('10,000 levels deep, beside the keys or in them: the rest is read', async (t) => {
    const key = await make();
    const deep = `${'{"a":['.repeat(10_000)}1${']}'.repeat(10_000)}`;
    const other = `{"mode":"managed","type":"aws_x","name":"x","instances":[{"attributes":${deep}}]}`;
    const mine = `{"mode":"managed","type":"aws_kms_key","name":"k","instances":[{"attributes":{"arn":"${key.arn}","tags":${deep}}}]}`;
    const { status, body } = await upload(
      `{"version":4,"outputs":${deep},"resources":[${other},${mine}]}`,
      '?dry_run=true',
    );
    t.equal(status, 202);
    await ended(call, body.id);
    t.match(await itemsOf(call, body.id), [{ source: 'aws_kms_key.k', outcome: 'imported' }]);
  });
});
