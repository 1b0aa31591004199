import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  ListAliasesCommand,
  ListKeyRotationsCommand,
  ListResourceTagsCommand,
  PutKeyPolicyCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { ownPolicy } from '../support/kms-truth.ts';
import { describe, refuses, startKms } from '../support/local-kms.ts';

const day = 86_400;

test('key states and what each refuses', async (t) => {
  const { kms, create, control } = await startKms(t);

  t.test('a new key is Enabled; ScheduleKeyDeletion disables it; CancelKeyDeletion leaves it Disabled', async (t) => {
    const { KeyId, KeyState } = await create();
    t.equal(KeyState, 'Enabled');
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId }));
    t.match(await describe(kms, KeyId), { KeyState: 'PendingDeletion', Enabled: false });
    await kms.send(new CancelKeyDeletionCommand({ KeyId }));
    const restored = await describe(kms, KeyId);
    t.match(restored, { KeyState: 'Disabled', Enabled: false });
    t.notOk('DeletionDate' in restored);
  });

  t.test('a disabled key refuses rotation changes; description, policy and tags can change', async (t) => {
    const { KeyId, Arn } = await create();
    await kms.send(new DisableKeyCommand({ KeyId }));
    for (const call of [
      kms.send(new EnableKeyRotationCommand({ KeyId })),
      kms.send(new DisableKeyRotationCommand({ KeyId })),
      kms.send(new RotateKeyOnDemandCommand({ KeyId })),
    ]) {
      await refuses(t, call, 'DisabledException', `${Arn} is disabled.`);
    }
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'new' }));
    await kms.send(new PutKeyPolicyCommand({ KeyId, Policy: JSON.stringify(ownPolicy('a')) }));
    await kms.send(new TagResourceCommand({ KeyId, Tags: [{ TagKey: 'a', TagValue: '' }] }));
    await kms.send(new DisableKeyCommand({ KeyId }));
    await kms.send(new EnableKeyCommand({ KeyId }));
    await kms.send(new EnableKeyCommand({ KeyId }));
    t.equal((await describe(kms, KeyId)).KeyState, 'Enabled');
  });

  t.test('a key pending deletion can still be read', async (t) => {
    const { KeyId } = await create();
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId }));
    for (const call of [
      kms.send(new DescribeKeyCommand({ KeyId })),
      kms.send(new GetKeyPolicyCommand({ KeyId })),
      kms.send(new ListResourceTagsCommand({ KeyId })),
      kms.send(new GetKeyRotationStatusCommand({ KeyId })),
    ]) {
      await t.resolves(call);
    }
  });

  t.test('a key for imported key material is PendingImport', async (t) => {
    const { KeyId, KeyState, Arn } = await create({ Origin: 'EXTERNAL' });
    t.equal(KeyState, 'PendingImport');
    const pending = `${Arn} is pending import.`;
    await refuses(t, kms.send(new EnableKeyCommand({ KeyId })), 'KMSInvalidStateException', pending);
    await refuses(t, kms.send(new EnableKeyRotationCommand({ KeyId })), 'UnsupportedOperationException');
  });

  t.test('RotateKeyOnDemand looks at the state first, then at the kind', async (t) => {
    const kinds = [
      { KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' },
      { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' },
      { MultiRegion: true },
      {},
    ] as const;
    for (const kind of kinds) {
      const { KeyId, Arn } = await create(kind);
      const rotate = () => kms.send(new RotateKeyOnDemandCommand({ KeyId }));
      if ('KeySpec' in kind) await refuses(t, rotate(), 'UnsupportedOperationException');
      await kms.send(new DisableKeyCommand({ KeyId }));
      await refuses(t, rotate(), 'DisabledException', `${Arn} is disabled.`);
      await kms.send(new ScheduleKeyDeletionCommand({ KeyId }));
      await refuses(t, rotate(), 'KMSInvalidStateException', `${Arn} is pending deletion.`);
      const { KeyId: empty, Arn: emptyArn } = await create({ ...kind, Origin: 'EXTERNAL' });
      const call = kms.send(new RotateKeyOnDemandCommand({ KeyId: empty }));
      await refuses(t, call, 'KMSInvalidStateException', `${emptyArn} is pending import.`);
    }
  });

  t.test('deletion that comes due takes the key and its aliases', async (t) => {
    const { KeyId, Arn } = await create();
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/due', TargetKeyId: KeyId }));
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    await control.advanceClock(7 * day - 60);
    t.equal((await describe(kms, KeyId)).KeyState, 'PendingDeletion');
    await control.advanceClock(60);
    const gone = `Key '${Arn}' does not exist`;
    await refuses(t, kms.send(new DescribeKeyCommand({ KeyId })), 'NotFoundException', gone);
    await refuses(t, kms.send(new CancelKeyDeletionCommand({ KeyId })), 'NotFoundException', gone);
    const { Aliases = [] } = await kms.send(new ListAliasesCommand({}));
    t.notOk(Aliases.some(({ AliasName }) => AliasName === 'alias/due'));
  });

  t.test('limits of the windows', async (t) => {
    const { KeyId } = await create();
    for (const PendingWindowInDays of [6, 31]) {
      const call = kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays }));
      await refuses(t, call, 'ValidationException', /at 'pendingWindowInDays' failed to satisfy constraint/);
    }
    for (const RotationPeriodInDays of [89, 2561]) {
      const call = kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays }));
      await refuses(t, call, 'ValidationException', /at 'rotationPeriodInDays' failed to satisfy constraint/);
    }
    const call = kms.send(new CreateKeyCommand({ Description: 'x'.repeat(8193) }));
    await refuses(t, call, 'ValidationException', /at 'description' .*less than or equal to 8192$/);
  });
});

test('ListKeyRotations: automatic and on-demand, with the key material of each', async (t) => {
  const { kms, create, control } = await startKms(t);
  const { KeyId, Arn, CurrentKeyMaterialId } = await create();
  const rotations = async (input: object = {}) =>
    (await kms.send(new ListKeyRotationsCommand({ KeyId, ...input }))).Rotations ?? [];
  t.same(await rotations(), []);
  await kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 90 }));
  await control.advanceClock(100 * day);
  t.equal((await kms.send(new RotateKeyOnDemandCommand({ KeyId }))).KeyId, Arn);
  await control.advanceClock(90 * day);
  const found = await rotations();
  t.same(
    found.map(({ RotationType }) => RotationType),
    ['AUTOMATIC', 'ON_DEMAND', 'AUTOMATIC'],
    'an on-demand rotation does not move the automatic ones',
  );
  t.ok(found.every((entry) => entry.KeyId === Arn && entry.RotationDate instanceof Date));
  t.same(
    found.map(({ KeyMaterialState }) => KeyMaterialState),
    ['NON_CURRENT', 'NON_CURRENT', 'CURRENT'],
  );
  t.equal((await describe(kms, KeyId)).CurrentKeyMaterialId, found[2]?.KeyMaterialId);
  const all = await rotations({ IncludeKeyMaterial: 'ALL_KEY_MATERIAL' });
  t.equal(all.length, 4);
  t.equal(all[0]?.KeyMaterialId, CurrentKeyMaterialId, 'with the one that the key was made with');
  await kms.send(new DisableKeyRotationCommand({ KeyId }));
  await control.advanceClock(900 * day);
  t.equal((await rotations()).length, 3, 'none once rotation is off');
});

test('25 on-demand rotations a key', async (t) => {
  const { kms, create } = await startKms(t);
  const { KeyId, Arn } = await create();
  for (let index = 0; index < 25; index += 1) await kms.send(new RotateKeyOnDemandCommand({ KeyId }));
  const limit =
    'The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: ';
  await refuses(t, kms.send(new RotateKeyOnDemandCommand({ KeyId })), 'LimitExceededException', `${limit}${Arn}`);
  const { Rotations = [] } = await kms.send(new ListKeyRotationsCommand({ KeyId }));
  t.equal(Rotations.length, 25);
});
