import path from 'node:path';
import { CreateKeyCommand, ListKeysCommand, PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import { GetResourcesCommand, ResourceGroupsTaggingAPIClient } from '@aws-sdk/client-resource-groups-tagging-api';
import { AssumeRoleCommand, type AssumeRoleCommandInput, GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { fromTemporaryCredentials } from '@aws-sdk/credential-providers';
import { type Test, test } from 'tap';
import { account, refuses, startKms } from '../support/local-kms.ts';
import { firstLine, run, temporaryFolder } from '../support/process.ts';
import { caller } from '../support/service.ts';
import { rolesOf, userOf } from '../support/sts.ts';

const other = '444455556666';
const role = `arn:aws:iam::${other}:role/team/keyward`;
const user = `arn:aws:iam::${account}:user/local`;

async function stsRefuses(t: Test, call: Promise<unknown>, name: string, status: number, message: string) {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason as Error & { $metadata: { httpStatusCode?: number } },
  );
  t.match(error, { name, message, $metadata: { httpStatusCode: status } });
}

const denied = (t: Test, call: Promise<unknown>, by = user) =>
  stsRefuses(
    t,
    call,
    'AccessDenied',
    403,
    `User: ${by} is not authorized to perform: sts:AssumeRole on resource: ${role}`,
  );

test("a role's session acts in the account of the role, for STS, KMS and tagging", async (t) => {
  const { url, client } = await startKms(t);
  const { sts, kms, assume } = rolesOf(t, url);
  const before = Date.now();
  const { Credentials, AssumedRoleUser } = await sts(userOf(account)).send(
    new AssumeRoleCommand({ RoleArn: role, RoleSessionName: 'portal', DurationSeconds: 900, ExternalId: 'any' }),
  );
  t.match(Credentials?.AccessKeyId, /^ASIA[A-Z0-9]{16}$/);
  t.ok(Math.abs((Credentials?.Expiration?.getTime() ?? 0) - before - 900_000) < 60_000);
  const arn = `arn:aws:sts::${other}:assumed-role/keyward/portal`;
  t.equal(AssumedRoleUser?.Arn, arn, 'without the path of the role');
  t.match(AssumedRoleUser?.AssumedRoleId, /^AROA[A-Z0-9]{17}:portal$/);

  const credentials = await assume(role, account, { RoleSessionName: 'portal' });
  t.match(await sts(credentials).send(new GetCallerIdentityCommand({})), {
    Account: other,
    Arn: arn,
    UserId: AssumedRoleUser?.AssumedRoleId,
  });
  const { KeyMetadata } = await kms(credentials, 'eu-west-1').send(
    new CreateKeyCommand({ Tags: [{ TagKey: 'a', TagValue: '1' }] }),
  );
  t.match(KeyMetadata?.Arn, new RegExp(`^arn:aws:kms:eu-west-1:${other}:key/`));
  t.equal((await client(other, 'eu-west-1').send(new ListKeysCommand({}))).Keys?.length, 1);
  t.equal((await client(account, 'eu-west-1').send(new ListKeysCommand({}))).Keys?.length, 0);
  const tagging = new ResourceGroupsTaggingAPIClient({ endpoint: url, region: 'eu-west-1', credentials });
  const { ResourceTagMappingList } = await tagging.send(new GetResourcesCommand({}));
  t.equal(ResourceTagMappingList?.[0]?.ResourceARN, KeyMetadata?.Arn);
  tagging.destroy();
});

test("the SDK's temporary credentials, and roles that assume roles", async (t) => {
  const { url } = await startKms(t);
  const { kms, sts, assume } = rolesOf(t, url);
  const credentials = await fromTemporaryCredentials({
    params: { RoleArn: role, RoleSessionName: 'sdk', ExternalId: 'x1' },
    masterCredentials: userOf(account),
    clientConfig: { endpoint: url, region: 'us-east-1' },
  })();
  const { KeyMetadata } = await kms(credentials).send(new CreateKeyCommand({}));
  t.equal(KeyMetadata?.AWSAccountId, other);
  const chained = `arn:aws:iam::777788889999:role/deep`;
  const command = { RoleArn: chained, RoleSessionName: 'deeper' };
  const { AssumedRoleUser } = await sts(await assume(role)).send(new AssumeRoleCommand(command));
  t.equal(AssumedRoleUser?.Arn, 'arn:aws:sts::777788889999:assumed-role/deep/deeper');
});

test('a key policy that names the role lets its session update it', async (t) => {
  const { url } = await startKms(t);
  const { kms, assume } = rolesOf(t, url);
  const client = kms(await assume(role));
  const policyFor = (AWS: string) =>
    JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Principal: { AWS }, Action: 'kms:*', Resource: '*' }],
    });
  const { KeyMetadata } = await client.send(new CreateKeyCommand({ Policy: policyFor(role) }));
  const put = (Policy: string) => client.send(new PutKeyPolicyCommand({ KeyId: KeyMetadata?.KeyId, Policy }));
  await t.resolves(put(policyFor(`arn:aws:sts::${other}:assumed-role/keyward/test`)));
  await refuses(t, put(policyFor(`arn:aws:iam::${other}:role/somebody`)), 'MalformedPolicyDocumentException');
});

test('who may assume a role', async (t) => {
  const { url } = await startKms(t);
  const { assume, register } = rolesOf(t, url);
  t.equal((await register({ arn: role, trust: { external_id: 'portal:1' } })).status, 200);
  await denied(t, assume(role));
  await denied(t, assume(role, account, { ExternalId: 'portal:2' }));
  await t.resolves(assume(role, account, { ExternalId: 'portal:1' }));

  await register({ arn: role, trust: null });
  await denied(t, assume(role, account, { ExternalId: 'portal:1' }));
  await denied(t, assume(role, other), `arn:aws:iam::${other}:user/local`);

  await register({ arn: role, trust: { principals: [`arn:aws:iam::${account}:root`] } });
  await t.resolves(assume(role), 'and is made assumable again');
  await denied(t, assume(role, other), `arn:aws:iam::${other}:user/local`);
  await register({ arn: role, trust: { principals: user, external_id: 'x1' } });
  await t.resolves(assume(role, account, { ExternalId: 'x1' }));

  const Statement = [
    { Effect: 'Allow', Principal: '*', Action: 'sts:AssumeRole' },
    {
      Effect: 'Deny',
      Principal: '*',
      Action: 'sts:AssumeRole',
      Condition: { StringNotLike: { 'sts:ExternalId': 'p-*' } },
    },
  ];
  await register({ arn: role, trust: { Version: '2012-10-17', Statement } });
  await denied(t, assume(role));
  await t.resolves(assume(role, account, { ExternalId: 'p-1' }), 'by a trust policy');

  await caller(url)('DELETE', '/_local/roles', { arn: role });
  await t.resolves(assume(role), 'as any role that is not registered');
  const missing = assume(`arn:aws:iam::${other}:role/missing-role`);
  await stsRefuses(t, missing, 'AccessDenied', 403, `User: ${user} is not authorized to perform: sts:AssumeRole`);
});

test('what STS refuses', async (t) => {
  const { url } = await startKms(t);
  const { sts, assume, register } = rolesOf(t, url);
  const constraint = (value: string, member: string, rule: string) =>
    `1 validation error detected: Value ${value} at '${member}' failed to satisfy constraint: Member must ${rule}`;
  const cases: [Partial<AssumeRoleCommandInput>, string][] = [
    [{ RoleArn: undefined }, constraint('null', 'roleArn', 'not be null')],
    [{ RoleArn: 'short' }, constraint("'short'", 'roleArn', 'have length greater than or equal to 20')],
    [{ RoleArn: `arn:aws:iam::${other}:user/ann` }, 'Request ARN is invalid'],
    [
      { RoleSessionName: 'a b' },
      constraint("'a b'", 'roleSessionName', 'satisfy regular expression pattern: [\\w+=,.@-]*'),
    ],
    [{ RoleSessionName: 'a' }, constraint("'a'", 'roleSessionName', 'have length greater than or equal to 2')],
    [{ ExternalId: '<&>' }, constraint("'<&>'", 'externalId', 'satisfy regular expression pattern: [\\w+=,.@:\\/-]*')],
    [{ DurationSeconds: 899 }, constraint("'899'", 'durationSeconds', 'have value greater than or equal to 900')],
    [{ DurationSeconds: 43_201 }, constraint("'43201'", 'durationSeconds', 'have value less than or equal to 43200')],
    [{ DurationSeconds: 3601 }, 'The requested DurationSeconds exceeds the MaxSessionDuration set for this role.'],
    [{ Policy: '{}' }, 'The local KMS does not know the member Policy of AssumeRole'],
  ];
  for (const [input, message] of cases) {
    const command = new AssumeRoleCommand({
      RoleArn: role,
      RoleSessionName: 'test',
      ...input,
    } as AssumeRoleCommandInput);
    await stsRefuses(t, sts(userOf(account)).send(command), 'ValidationError', 400, message);
  }
  await register({ arn: role, max_session_duration: 7200 });
  await t.resolves(assume(role, account, { DurationSeconds: 7200 }));
  const chained = sts(await assume(role)).send(
    new AssumeRoleCommand({ RoleArn: role, RoleSessionName: 'test', DurationSeconds: 7200 }),
  );
  await stsRefuses(
    t,
    chained,
    'ValidationError',
    400,
    'exceeds the 1 hour session limit for roles assumed by role chaining',
  );
  for (const wrong of [
    { arn: 'x' },
    { arn: role, trust: 'x' },
    { arn: role, trust: { externalId: 'x' } },
    { arn: role, other: 1 },
    { arn: role, policies: {} },
    { arn: role, policies: [{ Statement: { Effect: 'Maybe', Action: '*', Resource: '*' } }] },
    { arn: role, policies: [{ Statement: { Effect: 'Allow', Action: '*' } }] },
    {
      arn: role,
      policies: [
        {
          Statement: {
            Effect: 'Allow',
            Action: '*',
            Resource: '*',
            Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } },
          },
        },
      ],
    },
  ]) {
    t.equal((await register(wrong)).status, 400, JSON.stringify(wrong));
  }
});

test('credentials that are not good', async (t) => {
  const { url, control } = await startKms(t);
  const { sts, kms, assume, expire } = rolesOf(t, url);
  const credentials = await assume(role);
  const list = new ListKeysCommand({});
  const invalid = 'The security token included in the request is invalid.';
  for (const wrong of [
    { ...credentials, sessionToken: 'another' },
    { accessKeyId: credentials.accessKeyId, secretAccessKey: 'without a token' },
    { ...credentials, accessKeyId: 'ASIALOCALUNKNOWN2222' },
  ]) {
    await refuses(t, kms(wrong).send(list), 'UnrecognizedClientException', invalid);
    await stsRefuses(t, sts(wrong).send(new GetCallerIdentityCommand({})), 'InvalidClientTokenId', 403, invalid);
  }
  await control.advanceClock(86_400);
  await t.resolves(kms(credentials).send(list), 'sessions end by the real clock');
  t.match((await expire(`arn:aws:iam::${other}:role/another`)).body, { expired: 0 });
  t.match((await expire(role)).body, { expired: 1 });
  const expired = 'The security token included in the request is expired';
  await refuses(t, kms(credentials).send(list), 'ExpiredTokenException', expired);
  await stsRefuses(t, sts(credentials).send(new GetCallerIdentityCommand({})), 'ExpiredToken', 403, expired);
  await t.resolves(kms(await assume(role)).send(list));
});

test('STS has faults, and is in the call log', async (t) => {
  const { url, control } = await startKms(t);
  const { assume } = rolesOf(t, url);
  await control.fault({ operation: 'AssumeRole', kind: 'error', type: 'AccessDenied' });
  await t.rejects(assume(role), { name: 'AccessDenied' });
  await assume(role, account, { ExternalId: 'x1' });
  t.match(await control.calls(), [
    { operation: 'AssumeRole', error: 'AccessDenied' },
    { operation: 'AssumeRole', error: null, caller: user, parameters: { RoleArn: role, ExternalId: 'x1' } },
  ]);
});

test('roles and sessions survive kill -9', async (t) => {
  const folder = await temporaryFolder(t);
  const start = async () => {
    const process = run(t, 'src/local/kms/main.ts', {}, ['--port', '0', '--data', path.join(folder, 'keys')]);
    return { process, url: /http:\S+?(?=,)/.exec(await firstLine(process))?.[0] ?? '' };
  };
  const first = await start();
  const before = rolesOf(t, first.url);
  const [credentials, ended] = [await before.assume(role), await before.assume(`arn:aws:iam::${other}:role/ended`)];
  await before.expire(`arn:aws:iam::${other}:role/ended`);
  await before.register({ arn: role, trust: null });
  first.process.child.kill('SIGKILL');
  await first.process.ended;
  const after = rolesOf(t, (await start()).url);
  await denied(t, after.assume(role));
  const { KeyMetadata } = await after.kms(credentials).send(new CreateKeyCommand({}));
  t.equal(KeyMetadata?.AWSAccountId, other);
  await refuses(t, after.kms(ended).send(new ListKeysCommand({})), 'ExpiredTokenException');
});
