import {
  CreateGrantCommand,
  type CreateGrantCommandInput,
  DescribeKeyCommand,
  DisableKeyCommand,
  GenerateRandomCommand,
  ListGrantsCommand,
  ListRetirableGrantsCommand,
  RetireGrantCommand,
  RevokeGrantCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { account, refuses, startKms } from '../support/local-kms.ts';
import { allow, startWithRole } from '../support/role.ts';

const day = 86_400;
const app = `arn:aws:iam::${account}:role/app`;
const admin = `arn:aws:iam::${account}:user/admin`;

test('grants', async (t) => {
  const { kms, create, control, client } = await startKms(t);
  const { KeyId, Arn } = await create();
  const grant = (input: Partial<CreateGrantCommandInput> = {}) =>
    kms.send(new CreateGrantCommand({ KeyId, GranteePrincipal: app, Operations: ['Decrypt'], ...input }));
  const list = async (input: object = {}) => (await kms.send(new ListGrantsCommand({ KeyId, ...input }))).Grants ?? [];

  t.test('CreateGrant answers an id and a token; ListGrants shows what was granted', async (t) => {
    const Constraints = { EncryptionContextSubset: { team: 'ops' }, SourceArn: `arn:aws:s3:us-east-1:${account}:b` };
    const Operations: CreateGrantCommandInput['Operations'] = ['Encrypt', 'GenerateDataKey', 'RetireGrant'];
    const { GrantId, GrantToken } = await grant({ Name: 'one', RetiringPrincipal: admin, Operations, Constraints });
    t.match(GrantId, /^[0-9a-f]{64}$/);
    t.match(GrantToken, /^.{40,8192}$/);
    const [found] = await list();
    t.ok(found?.CreationDate instanceof Date);
    t.strictSame(found, {
      KeyId: Arn,
      GrantId,
      Name: 'one',
      CreationDate: found?.CreationDate,
      GranteePrincipal: app,
      RetiringPrincipal: admin,
      IssuingAccount: `arn:aws:iam::${account}:root`,
      Operations,
      Constraints,
    });
    await kms.send(new RevokeGrantCommand({ KeyId: Arn, GrantId }));
    t.same(await list(), []);
  });

  t.test('with a name, a repeated request answers the same grant, and another token', async (t) => {
    const [first, again] = [await grant({ Name: 'same' }), await grant({ Name: 'same' })];
    t.equal(again.GrantId, first.GrantId);
    t.not(again.GrantToken, first.GrantToken);
    t.not((await grant({ Name: 'same', Operations: ['Encrypt'] })).GrantId, first.GrantId);
    t.not((await grant()).GrantId, (await grant()).GrantId, 'without one each is new');
    t.equal((await list()).length, 4);
    await kms.send(new RetireGrantCommand({ GrantToken: first.GrantToken }));
    t.equal((await list({ GrantId: first.GrantId })).length, 0, 'any token of a grant names it');
    for (const { GrantId } of await list()) await kms.send(new RetireGrantCommand({ KeyId: Arn, GrantId }));
    t.same(await list(), []);
  });

  t.test('lists page and filter; grants that a principal can retire are listed over all keys', async (t) => {
    const other = await create();
    for (let index = 0; index < 12; index += 1) {
      await grant({ KeyId: index % 2 === 0 ? KeyId : other.KeyId, RetiringPrincipal: admin });
    }
    const { GrantId } = await grant({ GranteePrincipal: admin });
    t.equal((await list()).length, 7);
    t.same(
      (await list({ GranteePrincipal: admin })).map((entry) => entry.GrantId),
      [GrantId],
    );
    t.equal((await list({ GrantId })).length, 1);
    const seen: (string | undefined)[] = [];
    for (let Marker: string | undefined; ; ) {
      const input = { RetiringPrincipal: admin, Limit: 5, ...(Marker === undefined ? {} : { Marker }) };
      const page = await kms.send(new ListRetirableGrantsCommand(input));
      seen.push(...(page.Grants ?? []).map((entry) => entry.GrantId));
      if (!page.Truncated) break;
      Marker = page.NextMarker;
    }
    t.equal(new Set(seen).size, 12);
    t.equal(seen.length, 12);
    const elsewhere = await client('444455556666').send(new ListRetirableGrantsCommand({ RetiringPrincipal: admin }));
    t.same(elsewhere.Grants, []);
    for (const entry of await list()) await kms.send(new RevokeGrantCommand({ KeyId, GrantId: entry.GrantId }));
    for (const Limit of [0, 101]) {
      await refuses(t, kms.send(new ListGrantsCommand({ KeyId, Limit })), 'ValidationException');
    }
  });

  t.test('what CreateGrant refuses', async (t) => {
    const { GrantToken = '' } = await grant();
    await t.resolves(grant({ GrantTokens: [GrantToken] }));
    const cases: [string, Partial<CreateGrantCommandInput>][] = [
      ['InvalidGrantTokenException', { GrantTokens: ['nonsense'] }],
      ['ValidationException', { GrantTokens: Array.from({ length: 11 }, () => GrantToken) }],
      ['InvalidArnException', { GranteePrincipal: 'somebody' }],
      ['InvalidArnException', { GranteePrincipal: account }],
      ['InvalidArnException', { GranteePrincipal: `arn:aws:iam::${account}:role/missing-role` }],
      ['InvalidArnException', { RetiringPrincipal: `arn:aws:iam::${account}:group/x` }],
      ['ValidationException', { GranteePrincipal: undefined }],
      ['ValidationException', { GranteeServicePrincipal: 'dynamodb.us-east-1.amazonaws.com' }],
      ['ValidationException', { RetiringPrincipal: admin, RetiringServicePrincipal: 'dynamodb.amazonaws.com' }],
      ['ValidationException', { GranteePrincipal: undefined, GranteeServicePrincipal: 'dynamodb.amazonaws.com' }],
      ['ValidationException', { Operations: undefined }],
      ['ValidationException', { Operations: ['ScheduleKeyDeletion' as 'Decrypt'] }],
      ['ValidationException', { Operations: ['Sign'] }],
      ['ValidationException', { Operations: ['GetPublicKey'] }],
      ['ValidationException', { Name: 'a b' }],
      ['ValidationException', { Name: 'x'.repeat(257) }],
      ['ValidationException', { Constraints: { EncryptionContextEquals: { a: 'x'.repeat(385) } } }],
      ['ValidationException', { Constraints: { SourceArn: 'no ARN, though it is long enough' } }],
      ['DryRunOperationException', { DryRun: true }],
      ['NotFoundException', { KeyId: 'alias/x' }],
    ];
    const nine = Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`k${index}`, '']));
    cases.push(['ValidationException', { Constraints: { EncryptionContextSubset: nine } }]);
    for (const [name, input] of cases) await refuses(t, grant(input), name);
    t.equal((await list()).length, 2, 'and makes none');
  });

  t.test('what a grant can permit depends on the key', async (t) => {
    for (const [spec, fits, not] of [
      [{ KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }, ['Sign', 'GetPublicKey'], 'Decrypt'],
      [{ KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' }, ['Decrypt', 'ReEncryptTo'], 'GenerateDataKey'],
      [{ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }, ['VerifyMac', 'DescribeKey'], 'GetPublicKey'],
      [{ KeySpec: 'ECC_NIST_P256', KeyUsage: 'KEY_AGREEMENT' }, ['DeriveSharedSecret', 'CreateGrant'], 'Sign'],
    ] as const) {
      const key = await create(spec);
      await t.resolves(grant({ KeyId: key.KeyId, Operations: [...fits] }));
      await refuses(t, grant({ KeyId: key.KeyId, Operations: [not] }), 'ValidationException');
      const Constraints = { EncryptionContextEquals: { a: 'b' } };
      await refuses(t, grant({ KeyId: key.KeyId, Operations: [fits[0]], Constraints }), 'ValidationException');
    }
  });

  t.test('a key that is not Enabled takes no grant; its grants can be listed and ended', async (t) => {
    const [disabled, doomed] = [await create(), await create()];
    const empty = await create({ Origin: 'EXTERNAL' });
    const grants = [await grant({ KeyId: disabled.KeyId }), await grant({ KeyId: doomed.KeyId })];
    await kms.send(new DisableKeyCommand({ KeyId: disabled.KeyId }));
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: doomed.KeyId, PendingWindowInDays: 7 }));
    await refuses(t, grant({ KeyId: disabled.KeyId }), 'DisabledException', `${disabled.Arn} is disabled.`);
    const pending = `${doomed.Arn} is pending deletion.`;
    await refuses(t, grant({ KeyId: doomed.KeyId }), 'KMSInvalidStateException', pending);
    await refuses(t, grant({ KeyId: empty.KeyId }), 'KMSInvalidStateException', `${empty.Arn} is pending import.`);
    for (const [index, key] of [disabled, doomed].entries()) {
      t.equal((await list({ KeyId: key.KeyId })).length, 1);
      await kms.send(new RevokeGrantCommand({ KeyId: key.KeyId, GrantId: grants[index]?.GrantId }));
      t.equal((await list({ KeyId: key.KeyId })).length, 0);
    }
  });

  t.test('grants that are not there, and ids that are none', async (t) => {
    const unknown = 'a'.repeat(64);
    const revoke = (GrantId: string) => kms.send(new RevokeGrantCommand({ KeyId, GrantId }));
    const retire = (GrantId: string) => kms.send(new RetireGrantCommand({ KeyId, GrantId }));
    for (const end of [revoke, retire]) {
      await refuses(t, end(unknown), 'NotFoundException');
      await refuses(t, end('nonsense'), 'InvalidGrantIdException');
    }
    await refuses(t, kms.send(new ListGrantsCommand({ KeyId, GrantId: 'nonsense' })), 'InvalidGrantIdException');
    await refuses(t, kms.send(new RetireGrantCommand({ GrantToken: 'x' })), 'InvalidGrantTokenException');
    await refuses(t, kms.send(new RetireGrantCommand({})), 'ValidationException');
    const { GrantId } = await grant();
    const dry = kms.send(new RevokeGrantCommand({ KeyId, GrantId, DryRun: true }));
    await refuses(
      t,
      dry,
      'DryRunOperationException',
      'The request would have succeeded, but the DryRun option is set.',
    );
    t.equal((await list({ GrantId })).length, 1);
  });

  t.test('the grants of a key that is deleted are gone', async (t) => {
    const doomed = await create();
    await grant({ KeyId: doomed.KeyId, RetiringPrincipal: app });
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: doomed.KeyId, PendingWindowInDays: 7 }));
    await control.advanceClock(8 * day);
    await refuses(t, kms.send(new DescribeKeyCommand({ KeyId: doomed.KeyId })), 'NotFoundException');
    t.same((await kms.send(new ListRetirableGrantsCommand({ RetiringPrincipal: app }))).Grants, []);
  });
});

test('a role with policies needs the permission of each operation on grants', async (t) => {
  const { create, may, app: byRole, notAllowed } = await startWithRole(t);
  const { KeyId, Arn } = await create();
  await may(allow(['kms:CreateGrant', 'kms:ListRetirableGrants', 'kms:GenerateRandom']));
  const input = { KeyId, GranteePrincipal: app, RetiringPrincipal: admin, Operations: ['Decrypt' as const] };
  const { GrantToken } = await byRole.send(new CreateGrantCommand(input));
  await t.resolves(byRole.send(new ListRetirableGrantsCommand({ RetiringPrincipal: admin })));
  await t.resolves(byRole.send(new GenerateRandomCommand({ NumberOfBytes: 1 })));
  await notAllowed(byRole.send(new ListGrantsCommand({ KeyId })), 'kms:ListGrants', Arn);
  await notAllowed(byRole.send(new RetireGrantCommand({ GrantToken })), 'kms:RetireGrant', Arn);
  await may(allow('kms:RetireGrant', Arn));
  await t.resolves(byRole.send(new RetireGrantCommand({ GrantToken })));
});
