import { readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  ConnectCustomKeyStoreCommand,
  CreateCustomKeyStoreCommand,
  CreateGrantCommand,
  CreateKeyCommand,
  DescribeKeyCommand,
  EnableKeyCommand,
  type KMSClient,
  ReplicateKeyCommand,
  TagResourceCommand,
} from '@aws-sdk/client-kms';
import { GetResourcesCommand, ResourceGroupsTaggingAPIClient } from '@aws-sdk/client-resource-groups-tagging-api';
import { AssumeRoleCommand } from '@aws-sdk/client-sts';
import { type Test, test } from 'tap';
import { withActions } from '../../scripts/permission-list.ts';
import { type OperationName, operationNames, type ReadName, readTable } from '../../src/domain/operations.ts';
import { probesOfReads, probesOfWrites } from '../../src/kms/operations.ts';
import type { ProviderCheck } from '../../src/schemas/provider.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { samples } from '../support/key-pairs.ts';
import { ownPolicyOf, tags } from '../support/kms-truth.ts';
import { createKey, refuses, startKms } from '../support/local-kms.ts';
import { addProvider } from '../support/providers.ts';
import { caller, eventually, startService } from '../support/service.ts';
import { type Credentials, rolesOf } from '../support/sts.ts';

type Statement = { Sid: string; Action: string | string[] };
type Policy = { Version: string; Statement: Statement[] };
type LoggedCall = { operation: string; caller: string; key_id: string | null; error: string | null };

const documented = async (name: string) =>
  JSON.parse(await readFile(path.resolve(import.meta.dirname, '../../docs/iam', name), 'utf8')) as Policy;
const policy = await documented('keyward-role.json');
const trust = await documented('trust.json');
const basePolicy = await documented('base-credentials.json');

const account = '444455556666';
const role = `arn:aws:iam::${account}:role/keyward`;
const base = 'arn:aws:iam::111122223333:role/keyward-service';
const session = `arn:aws:sts::${account}:assumed-role/keyward/portal`;
const ownership = (value: string) => ({ TagKey: 'keyward:id', TagValue: value });

/** The roles of the documentation, as they are there, and credentials of the one that Keyward works with. */
async function startWithRoles(t: Test) {
  const { url, client } = await startKms(t);
  const roles = rolesOf(t, url);
  await roles.register({ arn: base, policies: [basePolicy] });
  t.equal((await roles.register({ arn: role, trust, policies: [policy] })).status, 200);
  const sts = roles.sts(await roles.assume(base));
  const assume = async (input = {}): Promise<Credentials> => {
    const { Credentials: given } = await sts.send(
      new AssumeRoleCommand({ RoleArn: role, RoleSessionName: 'portal', ExternalId: 'portal-7f3a', ...input }),
    );
    const { AccessKeyId = '', SecretAccessKey = '', SessionToken = '' } = given ?? {};
    return { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
  };
  return {
    url,
    roles,
    assume,
    admin: client(account),
    register: (changed: Policy) => roles.register({ arn: role, trust, policies: [changed] }),
  };
}

test('the role may call each operation that Keyward writes with (npm run docs writes the list)', async (t) => {
  const page = await readFile(path.resolve(import.meta.dirname, '../../docs/iam/keyward-role.json'), 'utf8');
  t.equal(withActions(page), page);
});

test('the base credentials assume the role, with the external id alone, and no other role', async (t) => {
  const { assume, roles, admin } = await startWithRoles(t);
  await t.resolves(assume());
  await t.rejects(assume({ ExternalId: 'another' }), { name: 'AccessDenied' });
  await t.rejects(assume({ ExternalId: undefined }), { name: 'AccessDenied' });
  await t.rejects(assume({ RoleArn: `arn:aws:iam::${account}:role/admin` }), { name: 'AccessDenied' });
  await t.rejects(roles.assume(role, account, { ExternalId: 'portal-7f3a' }), { name: 'AccessDenied' }, 'nor others');
  const { KeyId } = await createKey(admin);
  const alone = roles.kms(await roles.assume(base));
  await refuses(t, alone.send(new DescribeKeyCommand({ KeyId })), 'AccessDeniedException');
});

test('the policy of the role is all that Keyward needs, and Keyward uses all of it', async (t) => {
  const { url, roles, admin } = await startWithRoles(t);
  const { accessKeyId, secretAccessKey, sessionToken } = await roles.assume(base);
  const credentials = {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  };
  t.intercept(process, 'env', { value: { ...process.env, ...credentials } });
  const { call, control, services } = await startService(t, {
    KMS_ENDPOINT: url,
    OWNERSHIP_SEARCH: 'tagging',
    WRITE_DEADLINE_SECONDS: '6',
    SETTLE_SECONDS: '1',
  });
  const assume_role = { role_arn: role, external_id: 'portal-7f3a', session_name: 'portal' };
  const provider = await addProvider(call, { name: 'portal', assume_role, allowed_account_ids: [account] });
  const answers = async (status: number, method: string, route: string, body?: unknown) => {
    const answer = await call(method, route, body);
    t.equal(answer.status, status, `${method} ${route}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };

  // A create whose answer is lost: the key is looked for by its tag.
  await control.fault({ operation: 'CreateKey', kind: 'reset_after_effect' });
  const lost = (await call('POST', '/v1/keys', { provider, description: 'lost' }, { prefer: 'respond-async' })).body;
  await eventually('the answer is lost', async () =>
    (await control.calls()).some(({ operation, error }) => operation === 'CreateKey' && error === null),
  );

  const key = await answers(201, 'POST', '/v1/keys', {
    provider,
    description: 'whole',
    policy: ownPolicyOf(account, 'Made'),
    tags: { team: 'pay', gone: 'soon' },
    enable_key_rotation: true,
    rotation_period_in_days: 200,
    is_enabled: false,
  });
  const at = `/v1/keys/${key.id}`;
  t.match(key.arn, new RegExp(`^arn:aws:kms:us-east-1:${account}:key/`), 'in the account of the role');
  const { policy: _policy, ...held } = samples;
  for (const change of [
    ...Object.entries(held).flatMap(([name, values]) => values.slice(-2).map((value) => ({ [name]: value }))),
    { policy: ownPolicyOf(account, 'Changed') },
    { tags: { team: 'ops' } },
    { enable_key_rotation: false, rotation_period_in_days: null },
  ]) {
    await answers(200, 'PATCH', at, change);
  }
  await answers(200, 'POST', `${at}/rotate`);
  await answers(200, 'GET', `${at}/rotations`);
  await answers(200, 'POST', `${at}/refresh`);
  await answers(200, 'POST', `${at}/sync`);
  for (const how of ['revoke', 'retire']) {
    const granted = { KeyId: key.key_id ?? '', GranteePrincipal: role, Operations: ['Decrypt' as const] };
    await admin.send(new EnableKeyCommand({ KeyId: granted.KeyId }));
    const { GrantId } = await admin.send(new CreateGrantCommand({ ...granted, RetiringPrincipal: role }));
    await answers(200, 'GET', `${at}/grants`);
    await answers(200, 'POST', `${at}/grants/${GrantId}/${how}`);
  }
  await answers(202, 'DELETE', at);
  await answers(200, 'POST', `${at}/restore`);
  await answers(200, 'POST', `${at}/replace`, { multi_region: true });
  const primary = await answers(201, 'POST', '/v1/keys', { provider, multi_region: true });
  t.match(primary, { key_id: /^mrk-/ });
  const elsewhere = await addProvider(call, { name: 'portal-eu', region: 'eu-west-1', assume_role });
  const replica = await answers(201, 'POST', `/v1/keys/${primary.id}/replicas`, { provider: elsewhere });
  await answers(200, 'POST', `/v1/keys/${replica.id}/promote`);
  await answers(201, 'POST', '/v1/keys', { provider, custom_key_store_id: await connectedStore(admin) });

  const outside = await createKey(admin, { Description: 'outside' });
  await sweepUnmanagedKeys(services);
  const { items } = (await call<{ items: { key_id: string }[] }>('GET', `/v1/unmanaged-keys?provider=${provider}`))
    .body;
  t.ok(items.some(({ key_id }) => key_id === outside.KeyId));
  const imported = await answers(201, 'POST', '/v1/keys/import', { provider, key_id: outside.KeyId });
  await answers(200, 'PATCH', `/v1/keys/${imported.id}`, { description: 'ours now' });
  t.same(await tags(admin, outside.KeyId), { 'keyward:id': imported.id });
  await answers(204, 'POST', `/v1/keys/${imported.id}/release`);
  t.same(await tags(admin, outside.KeyId), {});
  await eventually(
    'the key whose answer was lost is found',
    async () => (await call('GET', `/v1/keys/${lost.id}`)).body.status.state === 'in_sync',
  );

  const { body } = await caller(url)<{ calls: LoggedCall[] }>('GET', '/_local/calls');
  const ofKeyward = body.calls.filter((logged) => logged.caller === session);
  const refused = ofKeyward.filter(({ error }) => error === 'AccessDeniedException');
  t.same(refused, [], 'nothing was refused');
  const used = new Set(
    ofKeyward.map(({ operation }) => `${operation === 'GetResources' ? 'tag' : 'kms'}:${operation}`),
  );
  const granted = new Set(grants(policy).map(({ action }) => action));
  // The one is part of CreateKey, and the other needs no permission.
  granted.delete('iam:CreateServiceLinkedRole');
  used.delete('kms:GetCallerIdentity');
  t.same([...used].sort(), [...granted].sort(), 'every action of the policy was used, and no other');

  const { body: check } = await call<ProviderCheck>('POST', `/v1/providers/${provider}/check`);
  t.match(check, { ok: true, account_id: account, caller_arn: session, error: null }, 'a check finds nothing amiss');
});

async function connectedStore(admin: KMSClient): Promise<string> {
  const { CustomKeyStoreId = '' } = await admin.send(
    new CreateCustomKeyStoreCommand({
      CustomKeyStoreName: 'store',
      CloudHsmClusterId: 'cluster-abcdefg0001',
      TrustAnchorCertificate: 'certificate',
      KeyStorePassword: 'password',
    }),
  );
  await admin.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  return CustomKeyStoreId;
}

function grants({ Statement: statements }: Policy) {
  return statements.flatMap(({ Sid, Action }) => [Action].flat().map((action) => ({ Sid, action })));
}

function without({ Statement: statements, ...rest }: Policy, sid: string, action: string): Policy {
  const less = statements.map((statement) =>
    statement.Sid === sid
      ? { ...statement, Action: [statement.Action].flat().filter((name) => name !== action) }
      : statement,
  );
  return { ...rest, Statement: less };
}

type Attempt = (kms: KMSClient, KeyId: string) => Promise<unknown>;

const team = { TagKey: 'team', TagValue: 'x' };
const writeNames = operationNames.filter((name) => name !== 'CreateKey');

/** A call that needs each action; those that change a key. */
const writes: Record<string, Attempt> = Object.fromEntries(
  writeNames.map((name) => [`kms:${name}`, (kms: KMSClient, KeyId: string) => probeOf(name, KeyId).send(kms)]),
);

function probeOf(name: OperationName, keyId: string) {
  const probe = probesOfWrites(keyId, team).find(({ operation }) => operation === name);
  if (probe === undefined) throw new Error(`${name} is not asked about`);
  return probe;
}

/** Does to a key what may come before a write, so that there is something to be undone. */
async function prepare(admin: KMSClient, KeyId: string, action: string): Promise<void> {
  const index = Math.max(
    writeNames.findIndex((name) => `kms:${name}` === action),
    0,
  );
  for (const name of writeNames.slice(0, index))
    await probeOf(name, KeyId)
      .send(admin)
      .catch(() => {});
}

const others: typeof writes = {
  ...Object.fromEntries(
    (Object.keys(readTable) as ReadName[]).map((name): [string, Attempt] => [
      `kms:${name}`,
      async (kms, KeyId) =>
        probesOfReads(KeyId)
          .find(({ operation }) => operation === name)
          ?.send(kms),
    ]),
  ),
  'kms:ReplicateKey': (kms, KeyId) =>
    kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'eu-west-1', Tags: [ownership('x')] })),
  'kms:CreateKey': (kms) => kms.send(new CreateKeyCommand({ Tags: [ownership('x')] })),
  'CreateAndClaimKeys kms:TagResource': (kms) => kms.send(new CreateKeyCommand({ Tags: [ownership('x')] })),
  'iam:CreateServiceLinkedRole': (kms) => kms.send(new CreateKeyCommand({ Tags: [ownership('x')], MultiRegion: true })),
  'tag:GetResources': async (kms) => {
    const { endpoint, region, credentials } = kms.config;
    const tagging = new ResourceGroupsTaggingAPIClient({
      endpoint: (await endpoint?.()) as never,
      region,
      credentials,
    });
    return tagging.send(new GetResourcesCommand({})).finally(() => tagging.destroy());
  },
};

test('each action of each statement is needed', async (t) => {
  const { roles, assume, register, admin } = await startWithRoles(t);
  const kms = roles.kms(await assume());
  for (const { Sid, action } of grants(policy)) {
    const attempt = others[`${Sid} ${action}`] ?? others[action] ?? writes[action];
    if (attempt === undefined) {
      t.fail(`no call is known that needs ${action}`);
      continue;
    }
    const { KeyId } = await createKey(admin, { Tags: [ownership('ours')] });
    await prepare(admin, KeyId, action);
    await register(without(policy, Sid, action));
    await refuses(t, attempt(kms, KeyId), 'AccessDeniedException', new RegExp(`not authorized to perform: ${action} `));
    await register(policy);
    // Whether KMS can do it with this key is another question.
    const error = await attempt(kms, KeyId).then(
      () => null,
      (reason: Error) => reason,
    );
    t.not(error?.name, 'AccessDeniedException', `${Sid} ${action}`);
  }
});

test('a key without the ownership tag is not touched, nor any made without it', async (t) => {
  const { roles, assume, admin } = await startWithRoles(t);
  const kms = roles.kms(await assume());
  for (const [action, attempt] of Object.entries(writes)) {
    const { KeyId } = await createKey(admin);
    await prepare(admin, KeyId, action);
    await refuses(t, attempt(kms, KeyId), 'AccessDeniedException', new RegExp(`not authorized to perform: ${action} `));
  }
  await refuses(t, kms.send(new CreateKeyCommand({})), 'AccessDeniedException');
  const theirs = [{ TagKey: 'team', TagValue: 'theirs' }];
  await refuses(t, kms.send(new CreateKeyCommand({ Tags: theirs })), 'AccessDeniedException');
});

test('the narrower policies that docs/iam.md names', async (t) => {
  const { roles, assume, admin, register } = await startWithRoles(t);
  const kms = roles.kms(await assume());
  const denying = (statement: object) =>
    register({ ...policy, Statement: [...policy.Statement, statement as Statement] });
  const page = await readFile(path.resolve(import.meta.dirname, '../../docs/iam.md'), 'utf8');
  const shown = /`(\{ "Effect": "Deny".*\})`/.exec(page)?.[1] ?? '';
  await denying({ Sid: 'Protected', ...JSON.parse(shown) });
  const claim = (KeyId: string) => kms.send(new TagResourceCommand({ KeyId, Tags: [ownership('x')] }));
  const guarded = await createKey(admin, { Tags: [{ TagKey: 'protected', TagValue: 'yes' }] });
  await refuses(t, claim(guarded.KeyId), 'AccessDeniedException', /explicit deny in an identity-based policy$/);
  await t.resolves(claim((await createKey(admin)).KeyId));

  const bypass = { Bool: { 'kms:BypassPolicyLockoutSafetyCheck': 'true' } };
  t.ok(page.includes('"Bool": { "kms:BypassPolicyLockoutSafetyCheck": "true" }'));
  await denying({
    Sid: 'NoBypass',
    Effect: 'Deny',
    Action: ['kms:CreateKey', 'kms:PutKeyPolicy'],
    Resource: '*',
    Condition: bypass,
  });
  const create = (BypassPolicyLockoutSafetyCheck: boolean) =>
    kms.send(new CreateKeyCommand({ Tags: [ownership('x')], BypassPolicyLockoutSafetyCheck }));
  await refuses(t, create(true), 'AccessDeniedException');
  await t.resolves(create(false));
});
