import {
  CancelKeyDeletionCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  ListResourceTagsCommand,
  ReplicateKeyCommand,
  ScheduleKeyDeletionCommand,
  UpdateKeyDescriptionCommand,
  UpdatePrimaryRegionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { account, describe, keyArn, refuses, startKms } from '../support/local-kms.ts';
import { eventually } from '../support/service.ts';

const day = 86_400;
const eu = { account, region: 'eu-west-1' };
const ap = { account, region: 'ap-south-1' };

test('while a replica is made, and while roles are swapped, the keys say so', async (t) => {
  const { kms, client, create, control } = await startKms(t);
  const { KeyId } = await create({ MultiRegion: true });
  const inEurope = client(account, 'eu-west-1');
  const seen = async () => {
    const keys = [await describe(kms, KeyId), await describe(inEurope, KeyId)];
    return keys.map(({ KeyState, Enabled, MultiRegionConfiguration }) => {
      return [KeyState, Enabled, MultiRegionConfiguration?.MultiRegionKeyType];
    });
  };
  const settled = async (wanted: unknown[]) => {
    await eventually('the keys are at rest', async () => (await seen()).every(([state]) => state === 'Enabled'));
    t.same(await seen(), wanted);
  };
  await control.settings({ multi_region_seconds: 1 });
  await kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'eu-west-1' }));
  t.same(await seen(), [
    ['Enabled', true, 'PRIMARY'],
    ['Creating', false, 'REPLICA'],
  ]);
  const creating = `${keyArn(KeyId, eu)} is creating.`;
  await refuses(t, inEurope.send(new DisableKeyCommand({ KeyId })), 'KMSInvalidStateException', creating);
  const encrypted = inEurope.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
  await refuses(t, encrypted, 'KMSInvalidStateException', creating);
  await t.resolves(inEurope.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'managed meanwhile' })));
  await settled([
    ['Enabled', true, 'PRIMARY'],
    ['Enabled', true, 'REPLICA'],
  ]);
  await kms.send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: 'eu-west-1' }));
  t.same(await seen(), [
    ['Updating', false, 'REPLICA'],
    ['Updating', false, 'REPLICA'],
  ]);
  await refuses(t, kms.send(new DisableKeyCommand({ KeyId })), 'KMSInvalidStateException');
  await settled([
    ['Enabled', true, 'REPLICA'],
    ['Enabled', true, 'PRIMARY'],
  ]);
});

test('ReplicateKey makes a related key in another Region', async (t) => {
  const { kms, client, create } = await startKms(t);
  const { KeyId, Arn } = await create({ MultiRegion: true, Description: 'primary' });
  const inEurope = client(account, 'eu-west-1');
  const Tags = [{ TagKey: 'a', TagValue: '1' }];
  const answer = await kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'eu-west-1', Description: 'r', Tags }));
  const MultiRegionConfiguration = {
    MultiRegionKeyType: 'REPLICA' as const,
    PrimaryKey: { Arn, Region: 'us-east-1' },
    ReplicaKeys: [{ Arn: keyArn(KeyId, eu), Region: 'eu-west-1' }],
  };
  t.match(answer.ReplicaKeyMetadata, { KeyId, Arn: keyArn(KeyId, eu), Description: 'r', MultiRegionConfiguration });
  t.notOk('ReplicaTags' in answer, 'the answer has no tags');
  t.match(answer.ReplicaPolicy, 'key-default-1');
  const { CurrentKeyMaterialId, ...shown } = await describe(inEurope, KeyId);
  t.match(CurrentKeyMaterialId, /^[0-9a-f]{64}$/);
  t.strictSame(answer.ReplicaKeyMetadata, { ...shown, KeyState: 'Creating', Enabled: false }, 'it is being created');
  t.match(shown, { KeyState: 'Enabled', Enabled: true }, 'which takes no time');
  t.strictSame((await describe(kms, KeyId)).MultiRegionConfiguration, {
    ...MultiRegionConfiguration,
    MultiRegionKeyType: 'PRIMARY',
  });
  t.same((await inEurope.send(new ListResourceTagsCommand({ KeyId }))).Tags, Tags, 'tags are its own');
  t.match((await inEurope.send(new GetKeyPolicyCommand({ KeyId }))).Policy, 'key-default-1');

  t.test('refusals', async (t) => {
    const again = kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'eu-west-1' }));
    await refuses(t, again, 'AlreadyExistsException');
    const ofReplica = inEurope.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: 'ap-south-1' }));
    await refuses(t, ofReplica, 'UnsupportedOperationException');
    for (const ReplicaRegion of ['Europe', 'eu_west_1', 'eu-west', 'US-EAST-2']) {
      const call = kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion }));
      await refuses(
        t,
        call,
        'ValidationException',
        /at 'replicaRegion' failed to satisfy .*\^\(\[a-z\]\+-\)\{2,3\}\\d\+\$$/,
      );
    }
    // Which error AWS has for a Region that does not exist, or is of another partition, is not documented.
    for (const ReplicaRegion of ['mars-north-1', 'eu-west-9', 'cn-north-1', 'us-gov-west-1']) {
      const call = kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion }));
      await refuses(t, call, 'UnsupportedOperationException');
    }
    const single = await create();
    const ofSingle = kms.send(new ReplicateKeyCommand({ KeyId: single.KeyId, ReplicaRegion: 'eu-west-1' }));
    await refuses(t, ofSingle, 'UnsupportedOperationException');
    const disabled = await create({ MultiRegion: true });
    await kms.send(new DisableKeyCommand({ KeyId: disabled.KeyId }));
    const ofDisabled = kms.send(new ReplicateKeyCommand({ KeyId: disabled.KeyId, ReplicaRegion: 'eu-west-1' }));
    await refuses(t, ofDisabled, 'DisabledException', `${disabled.Arn} is disabled.`);
  });

  t.test('rotation is the primary key’s, and shows on its replicas', async (t) => {
    await refuses(t, inEurope.send(new EnableKeyRotationCommand({ KeyId })), 'UnsupportedOperationException');
    await kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 200 }));
    const status = await inEurope.send(new GetKeyRotationStatusCommand({ KeyId }));
    t.match(status, { KeyRotationEnabled: true, RotationPeriodInDays: 200 });
  });

  t.test('each has a state of its own', async (t) => {
    await inEurope.send(new DisableKeyCommand({ KeyId }));
    t.equal((await describe(kms, KeyId)).KeyState, 'Enabled');
    t.equal((await describe(inEurope, KeyId)).KeyState, 'Disabled');
    await inEurope.send(new EnableKeyCommand({ KeyId }));
  });

  t.test('UpdatePrimaryRegion', async (t) => {
    await kms.send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: 'eu-west-1' }));
    const configuration = {
      PrimaryKey: { Arn: keyArn(KeyId, eu), Region: 'eu-west-1' },
      ReplicaKeys: [{ Arn, Region: 'us-east-1' }],
    };
    const roles = [await describe(kms, KeyId), await describe(inEurope, KeyId)].map(
      ({ MultiRegionConfiguration }) => MultiRegionConfiguration,
    );
    t.strictSame(roles, [
      { MultiRegionKeyType: 'REPLICA', ...configuration },
      { MultiRegionKeyType: 'PRIMARY', ...configuration },
    ]);
    t.match(await inEurope.send(new GetKeyRotationStatusCommand({ KeyId })), { RotationPeriodInDays: 200 });
    const nowhere = inEurope.send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: 'ap-south-1' }));
    await refuses(t, nowhere, 'NotFoundException');
    const fromReplica = kms.send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: 'us-east-1' }));
    await refuses(t, fromReplica, 'UnsupportedOperationException');
  });
});

test('a primary with replicas that is scheduled for deletion waits until the last replica is gone', async (t) => {
  const { kms, client, create, control } = await startKms(t);
  const { KeyId, Arn } = await create({ MultiRegion: true });
  const replicas = [client(account, eu.region), client(account, ap.region)] as const;
  for (const { region } of [eu, ap]) await kms.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: region }));

  const scheduled = await kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 10 }));
  const { $metadata, ...answer } = scheduled;
  t.strictSame(answer, { KeyId: Arn, KeyState: 'PendingReplicaDeletion', PendingWindowInDays: 10 }, 'no DeletionDate');
  const waiting = await describe(kms, KeyId);
  t.match(waiting, { Enabled: false, KeyState: 'PendingReplicaDeletion', PendingDeletionWindowInDays: 10 });
  t.notOk('DeletionDate' in waiting);
  await refuses(
    t,
    kms.send(new EnableKeyCommand({ KeyId })),
    'KMSInvalidStateException',
    `${Arn} is pending deletion.`,
  );

  t.test('it can be cancelled, and is Disabled then', async (t) => {
    await kms.send(new CancelKeyDeletionCommand({ KeyId }));
    t.equal((await describe(kms, KeyId)).KeyState, 'Disabled');
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 10 }));
  });

  t.test('with one of two replicas gone it still waits', async (t) => {
    await replicas[0].send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    await control.advanceClock(8 * day);
    await refuses(t, replicas[0].send(new DescribeKeyCommand({ KeyId })), 'NotFoundException');
    const { KeyState, MultiRegionConfiguration } = await describe(kms, KeyId);
    t.equal(KeyState, 'PendingReplicaDeletion');
    t.same(MultiRegionConfiguration?.ReplicaKeys, [{ Arn: keyArn(KeyId, ap), Region: ap.region }]);
  });

  t.test('its window starts when the last one is gone', async (t) => {
    await replicas[1].send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    await control.advanceClock(8 * day);
    const { KeyState, DeletionDate, MultiRegionConfiguration, ...rest } = await describe(kms, KeyId);
    t.equal(KeyState, 'PendingDeletion');
    t.notOk('PendingDeletionWindowInDays' in rest);
    t.same(MultiRegionConfiguration?.ReplicaKeys, []);
    // One day of its window is over: the last replica went seven of the eight days ago.
    t.equal(Math.round(((DeletionDate?.getTime() ?? 0) - Date.now()) / 1000 / day), 16 + 9);
  });

  t.test('and then it is deleted', async (t) => {
    await control.advanceClock(10 * day);
    const message = `Key '${Arn}' does not exist`;
    await refuses(t, kms.send(new DescribeKeyCommand({ KeyId })), 'NotFoundException', message);
  });
});
