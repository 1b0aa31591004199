import {
  CreateKeyCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { ownPolicy } from '../support/kms-truth.ts';
import { kmsClient, type Problem, startService } from '../support/service.ts';
import { decoded, planned, readHcl, resourceOf } from '../support/terraform.ts';

const awkward = `plain "$${'{'}x}" %{if} $$${'{'}y} \\ \n\t\u00e4e\u0301\u{1F511}`;

test('GET /v1/terraform and GET /v1/keys/{id}/terraform', async (t) => {
  const { url, kms, kmsUrl, control } = await startService(t, { ...withTokens, SETTLE_SECONDS: '0' });
  const call = callerWith(url, adminToken);
  const euKms = kmsClient(kmsUrl, '111122223333', 'eu-west-1');
  t.teardown(() => euKms.destroy());
  await call('POST', '/v1/providers', {
    name: 'eu.prod',
    region: 'eu-west-1',
    default_tags: { env: 'prod', owner: 'platform' },
    ignore_tags: { keys: ['map-migrated'], key_prefixes: ['backup:'] },
    allowed_account_ids: ['111122223333'],
  });
  const make = async (body: object) => {
    const { status, body: key } = await call('POST', '/v1/keys', body);
    t.equal(status, 201, JSON.stringify(key));
    return key;
  };
  const policy = {
    ...ownPolicy('Out'),
    Statement: [
      ...(ownPolicy('Out')['Statement'] as object[]),
      {
        Sid: 'Vars',
        Effect: 'Allow',
        Principal: { AWS: ['111122223333'] },
        Action: 'kms:Decrypt',
        Resource: ['*'],
        Condition: {
          StringEquals: { 'aws:PrincipalTag/a': '$' + '{aws:username}' },
          Bool: { 'aws:SecureTransport': true },
        },
      },
    ],
  };
  const keys = [
    await make({ description: awkward, tags: { team: 'payments', 'a:b/c=d+e-@': 'x y' } }),
    await make({
      policy,
      enable_key_rotation: true,
      rotation_period_in_days: 180,
      is_enabled: false,
      multi_region: true,
    }),
    await make({
      provider: 'eu.prod',
      description: 'Same name',
      tags: { env: 'prod', owner: 'me', 'map-migrated': '1' },
    }),
    await make({ provider: 'eu.prod', description: 'Same name', enable_key_rotation: true }),
    await make({ customer_master_key_spec: 'HMAC_256', key_usage: 'GENERATE_VERIFY_MAC', deletion_protection: true }),
    await make({ customer_master_key_spec: 'ECC_NIST_P521', key_usage: 'SIGN_VERIFY' }),
  ];
  const [first, , third] = keys;
  const { KeyMetadata: outside } = await kms.send(
    new CreateKeyCommand({ Description: 'outside', Tags: [{ TagKey: 'team', TagValue: 'ops' }], MultiRegion: true }),
  );
  keys.push((await call('POST', '/v1/keys/import', { key_id: outside?.KeyId })).body);
  await euKms.send(
    new TagResourceCommand({ KeyId: third?.key_id ?? '', Tags: [{ TagKey: 'backup:plan', TagValue: 'x' }] }),
  );
  const clientOf = ({ provider }: { provider: string }) => (provider === 'default' ? kms : euKms);
  const read = async (path = '/v1/terraform', by = call) => {
    const { status, headers, body } = await by<string>('GET', path);
    t.equal(status, 200);
    t.equal(headers.get('content-type'), 'text/plain; charset=utf-8');
    return body;
  };

  t.test('a plan with it would be empty: field by field as the AWS provider reads them', async (t) => {
    await control.clear();
    const text = await read();
    t.same(await control.calls({ reads: true }), [], 'without a word to KMS');
    const configuration = readHcl(text);
    t.equal(configuration.import?.length, keys.length);
    t.equal(Object.keys(configuration.resource?.aws_kms_key ?? {}).length, keys.length, 'each has a name of its own');
    t.equal(configuration.provider?.aws.length, 2);
    for (const key of keys) {
      t.same(await planned(clientOf(key), key.key_id ?? '', configuration), {}, key.description);
    }
    const { resource } = resourceOf(configuration, first?.key_id ?? '');
    t.equal(resource['description'], awkward.normalize('NFC'));
    t.match(resource['tags'], { team: 'payments', 'a:b/c=d+e-@': 'x y' });
    const { resource: withPolicy } = resourceOf(configuration, keys[1]?.key_id ?? '');
    t.match(JSON.stringify(decoded(withPolicy['policy'] ?? null)), '$' + '{aws:username}');
  });

  t.test('of one key, and of one provider', async (t) => {
    const whole = readHcl(await read());
    for (const key of keys) {
      const configuration = readHcl(await read(`/v1/keys/${key.id}/terraform`));
      t.equal(configuration.import?.length, 1);
      t.same(await planned(clientOf(key), key.key_id ?? '', configuration), {});
      const name = ({ name, resource }: ReturnType<typeof resourceOf>) => ({ name, resource });
      t.same(name(resourceOf(configuration, key.key_id ?? '')), name(resourceOf(whole, key.key_id ?? '')));
    }
    const { provider, import: imports } = readHcl(await read('/v1/terraform?provider=eu.prod'));
    t.match(provider?.aws, [{ alias: 'eu_prod', region: 'eu-west-1', default_tags: [{ tags: { env: 'prod' } }] }]);
    t.equal(imports?.length, 2);
    t.equal((await call('GET', '/v1/terraform?provider=nowhere')).status, 404);
    t.equal((await call('GET', '/v1/terraform?colour=red')).status, 400);
    t.equal((await call('HEAD', '/v1/terraform')).status, 200);
  });

  t.test('a limited caller gets its keys, whole in themselves where it may not read providers', async (t) => {
    await call('PUT', '/v1/access/roles/reader', { permissions: ['keys:read'] });
    const { token } = await addToken(call, { role: 'reader', tags: { owner: 'me' } });
    const text = await read('/v1/terraform', callerWith(url, token));
    const configuration = readHcl(text);
    t.same(
      configuration.import?.map(({ id }) => id),
      [third?.key_id],
    );
    t.notMatch(text, /allowed_account_ids|backup:/);
    t.match(resourceOf(configuration, third?.key_id ?? '').resource['tags'], { env: 'prod', owner: 'me' });
    t.equal((await callerWith(url, token)('GET', `/v1/keys/${first?.id}/terraform`)).status, 404);
  });

  t.test('drift is said, and what Terraform could not take over', async (t) => {
    const drifting = await make({ description: 'before', drift_policy: 'report' });
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId: drifting.key_id ?? '', Description: 'after' }));
    await call('POST', `/v1/keys/${drifting.id}/refresh`);
    const text = await read(`/v1/keys/${drifting.id}/terraform`);
    t.match(text, /# KMS differs in description/);
    t.match(await planned(kms, drifting.key_id ?? '', readHcl(text)), {
      description: { is: 'after', wanted: 'before' },
    });
    const going = await make({});
    await call('DELETE', `/v1/keys/${going.id}`);
    const taken = await make({ drift_policy: 'report' });
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: taken.key_id ?? '' }));
    await call('POST', `/v1/keys/${taken.id}/refresh`);
    const whole = await read();
    for (const key of [going, taken]) {
      const { status, body } = await call<Problem>('GET', `/v1/keys/${key.id}/terraform`);
      t.match({ status, body }, { status: 409, body: { detail: /Terraform takes it for gone/ } });
      t.match(whole, `# Left out: key ${key.id}, whose deletion`);
    }
    t.equal(readHcl(whole).import?.length, keys.length + 1);
  });
});
