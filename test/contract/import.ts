import assert from 'node:assert/strict';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  EnableKeyRotationCommand,
  GetKeyRotationStatusCommand,
  ReplicateKeyCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { metadata, policy, rotation, tags } from '../support/kms-truth.ts';
import { type Context, create, otherRegion, problemOf, type Scenario, serviceRegion } from './scenario.ts';

let made = 0;

/** A key that somebody made outside, with an alias. */
async function makeOutside({ kms }: Context) {
  made += 1;
  const Description = `outside ${made}`;
  // With its usage: a key that was made without one has none at moto, and what KMS does not tell is not guessed.
  const Tags = [{ TagKey: 'team', TagValue: 'ops' }];
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description, KeyUsage: 'ENCRYPT_DECRYPT', Tags }));
  const { KeyId = '', Arn = '' } = KeyMetadata ?? {};
  await kms.send(new EnableKeyRotationCommand({ KeyId }));
  const alias = `alias/outside-${Date.now()}-${made}`;
  await kms.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: KeyId }));
  return { KeyId, Arn, Description, alias, aliasArn: Arn.replace(/key\/.*$/, alias) };
}
type Outside = Awaited<ReturnType<typeof makeOutside>>;

const eachName = (
  [
    ['its id', ({ KeyId }) => KeyId],
    ['its ARN', ({ Arn }) => Arn],
    ['its alias', ({ alias }) => alias],
    ['its alias ARN', ({ aliasArn }) => aliasArn],
  ] as [string, (key: Outside) => string][]
).map(
  ([name, nameOf]): Scenario => ({
    name: `import: by ${name}, as it is; only the ownership tag is added`,
    run: async (context) => {
      const { kms, call } = context;
      const outside = await makeOutside(context);
      const before = await metadata(kms, outside.KeyId);
      const { status, body: key } = await call('POST', '/v1/keys/import', { key_id: nameOf(outside) });
      assert.equal(status, 201, JSON.stringify(key));
      assert.equal(key.key_id, outside.KeyId);
      assert.equal(key.arn, outside.Arn);
      assert.equal(key.description, outside.Description);
      // moto does not tell it, and what KMS does not tell is not made up.
      const told = await kms.send(new GetKeyRotationStatusCommand({ KeyId: outside.KeyId }));
      assert.equal(key.rotation_period_in_days, told.RotationPeriodInDays ?? null);
      assert.deepEqual(key.tags, { team: 'ops' });
      assert.deepEqual(key.policy, await policy(kms, outside.KeyId));
      assert.equal(key.status.state, 'in_sync');
      assert.deepEqual(await metadata(kms, outside.KeyId), before);
      assert.deepEqual(await rotation(kms, outside.KeyId), { enabled: true, period: 365 });
      assert.deepEqual(await tags(kms, outside.KeyId), { team: 'ops', 'keyward:id': key.id });
    },
  }),
);

const unknownId = '00000000-0000-4000-8000-000000000000';

export const importScenarios: Scenario[] = [
  ...eachName,
  {
    name: 'import: 404 for what KMS does not have',
    run: async ({ call }) => {
      for (const key_id of [unknownId, 'alias/nobody-has-this']) {
        assert.equal((await call('POST', '/v1/keys/import', { key_id })).status, 404, key_id);
      }
    },
  },
  {
    name: 'import: 409 with the id for a key that is managed already',
    run: async (context) => {
      const key = await create(context);
      for (const key_id of [key.key_id, key.arn]) {
        const answer = await context.call('POST', '/v1/keys/import', { key_id });
        assert.equal(answer.status, 409);
        assert.equal(problemOf(answer).id, key.id);
      }
    },
  },
  {
    name: 'import: 422 for an AWS managed key',
    run: async ({ call }) => {
      const answer = await call('POST', '/v1/keys/import', { key_id: 'alias/aws/s3' });
      assert.equal(answer.status, 422);
      assert.match(problemOf(answer).errors?.[0]?.detail ?? '', /AWS managed key/);
    },
  },
  {
    name: 'import: 422 for a key pending deletion',
    run: async (context) => {
      const { KeyId } = await makeOutside(context);
      await context.kms.send(new ScheduleKeyDeletionCommand({ KeyId }));
      const answer = await context.call('POST', '/v1/keys/import', { key_id: KeyId });
      assert.equal(answer.status, 422);
      assert.match(problemOf(answer).errors?.[0]?.detail ?? '', /pending deletion/);
    },
  },
  {
    name: 'import: a multi-Region replica, whose primary key is told',
    run: async ({ call, elsewhere }) => {
      const input = { MultiRegion: true, KeyUsage: 'ENCRYPT_DECRYPT' as const };
      const { KeyMetadata } = await elsewhere.send(new CreateKeyCommand(input));
      const KeyId = KeyMetadata?.KeyId ?? '';
      await elsewhere.send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: serviceRegion }));
      const answer = await call('POST', '/v1/keys/import', { key_id: KeyId });
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      assert.deepEqual([answer.body.replica_of, answer.body.status.primary_arn], [null, KeyMetadata?.Arn]);
    },
  },
  {
    name: 'import: a key of another Region is not found there',
    run: async ({ call, elsewhere }) => {
      const { KeyMetadata } = await elsewhere.send(new CreateKeyCommand({}));
      const { status } = await call('POST', '/v1/keys/import', { key_id: KeyMetadata?.Arn });
      assert.ok(status === 404 || status === 422, `${otherRegion}: ${status}`);
    },
  },
];
