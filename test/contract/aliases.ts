/** Aliases: what KMS holds of them, and what the service does with them. */
import assert from 'node:assert/strict';
import {
  type AliasListEntry,
  CreateAliasCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  type KMSClient,
  ListAliasesCommand,
  ScheduleKeyDeletionCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { eventually } from '../support/service.ts';
import { create, createInKms, type Scenario } from './scenario.ts';

const name = (kms: KMSClient, AliasName: string, TargetKeyId: string) =>
  kms.send(new CreateAliasCommand({ AliasName, TargetKeyId }));
const move = (kms: KMSClient, AliasName: string, TargetKeyId: string) =>
  kms.send(new UpdateAliasCommand({ AliasName, TargetKeyId }));

/** The aliases of a key, by pages of so many. */
async function pagesOf(kms: KMSClient, KeyId: string, Limit = 100): Promise<AliasListEntry[][]> {
  const pages: AliasListEntry[][] = [];
  for (let marker: string | undefined; ; ) {
    const input = { KeyId, Limit, ...(marker === undefined ? {} : { Marker: marker }) };
    const page = await kms.send(new ListAliasesCommand(input));
    pages.push(page.Aliases ?? []);
    if (!page.Truncated) return pages;
    marker = page.NextMarker;
  }
}

const namesOf = async (kms: KMSClient, KeyId: string) =>
  (await pagesOf(kms, KeyId)).flat().map(({ AliasName }) => AliasName);

const rsa = (KeySpec: 'RSA_2048' | 'RSA_3072') => ({ KeySpec, KeyUsage: 'SIGN_VERIFY' }) as const;

const inKms: Scenario[] = [
  {
    name: 'aliases: a name may have a colon in it',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms);
      const AliasName = `alias/facts:${KeyId}`;
      await kms.send(new CreateAliasCommand({ AliasName, TargetKeyId: KeyId }));
      const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId: AliasName }));
      assert.equal(KeyMetadata?.KeyId, KeyId);
      await kms.send(new DeleteAliasCommand({ AliasName }));
    },
  },
  {
    name: 'aliases: none is onto an alias',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms);
      const first = `alias/facts-${KeyId}`;
      await kms.send(new CreateAliasCommand({ AliasName: first, TargetKeyId: KeyId }));
      const second = new CreateAliasCommand({ AliasName: `${first}-2`, TargetKeyId: first });
      const refusal = { name: 'ValidationException', message: 'Aliases must refer to keys. Not aliases' };
      await assert.rejects(kms.send(second), refusal);
    },
  },
  {
    name: 'aliases: those of one key are listed by its id',
    run: async ({ kms }) => {
      const [{ KeyId }, other] = [await createInKms(kms), await createInKms(kms)];
      const wanted = ['a', 'b', 'c'].map((letter) => `alias/list-${KeyId}-${letter}`);
      for (const each of wanted) await name(kms, each, KeyId);
      await name(kms, `alias/list-${other.KeyId}`, other.KeyId);
      const [found = []] = await pagesOf(kms, KeyId);
      assert.deepEqual(found.map(({ AliasName }) => AliasName).sort(), wanted);
      assert.ok(found.every(({ TargetKeyId }) => TargetKeyId === KeyId));
      assert.ok(found.every(({ AliasArn, AliasName }) => AliasArn?.endsWith(`:${AliasName}`)));
    },
  },
  {
    name: 'aliases: those of one key come in pages of the size asked for',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms);
      const wanted = ['a', 'b', 'c'].map((letter) => `alias/page-${KeyId}-${letter}`);
      for (const each of wanted) await name(kms, each, KeyId);
      const pages = await pagesOf(kms, KeyId, 2);
      assert.ok(pages.length > 1 && pages.every((page) => page.length <= 2));
      const found = pages.flat().map(({ AliasName }) => AliasName);
      assert.deepEqual(found.sort(), wanted);
    },
  },
  {
    name: 'aliases: UpdateAlias moves one, and CreateAlias takes none that there is',
    run: async ({ kms }) => {
      const [first, second] = [await createInKms(kms), await createInKms(kms)];
      const alias = `alias/move-${first.KeyId}`;
      await name(kms, alias, first.KeyId);
      await assert.rejects(name(kms, alias, second.KeyId), { name: 'AlreadyExistsException' });
      await move(kms, alias, second.KeyId);
      const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId: alias }));
      assert.equal(KeyMetadata?.KeyId, second.KeyId);
      assert.deepEqual([await namesOf(kms, first.KeyId), await namesOf(kms, second.KeyId)], [[], [alias]]);
    },
  },
  {
    name: 'aliases: UpdateAlias moves one between specs of one type and usage',
    run: async ({ kms }) => {
      const [first, second] = [await createInKms(kms, rsa('RSA_2048')), await createInKms(kms, rsa('RSA_3072'))];
      const alias = `alias/specs-${first.KeyId}`;
      await name(kms, alias, first.KeyId);
      await move(kms, alias, second.KeyId);
      assert.deepEqual(await namesOf(kms, second.KeyId), [alias]);
    },
  },
  {
    name: 'aliases: UpdateAlias moves none to a key of another type or usage',
    run: async ({ kms }) => {
      const [first, second] = [await createInKms(kms), await createInKms(kms, rsa('RSA_2048'))];
      const alias = `alias/types-${first.KeyId}`;
      await name(kms, alias, first.KeyId);
      await assert.rejects(move(kms, alias, second.KeyId));
      assert.deepEqual(await namesOf(kms, first.KeyId), [alias]);
    },
  },
  {
    name: 'aliases: one that is not there is not found',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms);
      const AliasName = `alias/none-${KeyId}`;
      const missing = { name: 'NotFoundException' };
      await assert.rejects(move(kms, AliasName, KeyId), missing);
      await assert.rejects(kms.send(new DeleteAliasCommand({ AliasName })), missing);
      await assert.rejects(kms.send(new DescribeKeyCommand({ KeyId: AliasName })), missing);
    },
  },
  {
    name: 'aliases: a key has 50 at most',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms);
      for (let index = 0; index < 50; index += 1) await name(kms, `alias/many-${KeyId}-${index}`, KeyId);
      await assert.rejects(name(kms, `alias/many-${KeyId}-50`, KeyId), { name: 'LimitExceededException' });
      for (let index = 0; index < 50; index += 1) {
        await kms.send(new DeleteAliasCommand({ AliasName: `alias/many-${KeyId}-${index}` }));
      }
    },
  },
  {
    name: 'aliases: names of AWS are not for customers',
    run: async ({ kms }) => {
      const { KeyId } = await createInKms(kms);
      await assert.rejects(name(kms, `alias/aws/${KeyId}`, KeyId), { name: 'NotAuthorizedException' });
    },
  },
  {
    name: 'aliases: they stay on a key that is pending deletion, and can be moved from it',
    run: async ({ kms }) => {
      const [doomed, heir] = [await createInKms(kms), await createInKms(kms)];
      const alias = `alias/doomed-${doomed.KeyId}`;
      await name(kms, alias, doomed.KeyId);
      await kms.send(new ScheduleKeyDeletionCommand({ KeyId: doomed.KeyId, PendingWindowInDays: 7 }));
      assert.deepEqual(await namesOf(kms, doomed.KeyId), [alias]);
      await move(kms, alias, heir.KeyId);
      assert.deepEqual(await namesOf(kms, heir.KeyId), [alias]);
    },
  },
  {
    name: 'aliases: none is moved to a key that is pending deletion',
    run: async ({ kms }) => {
      const [doomed, holder] = [await createInKms(kms), await createInKms(kms)];
      const alias = `alias/kept-${holder.KeyId}`;
      await name(kms, alias, holder.KeyId);
      await kms.send(new ScheduleKeyDeletionCommand({ KeyId: doomed.KeyId, PendingWindowInDays: 7 }));
      await assert.rejects(move(kms, alias, doomed.KeyId), { name: 'KMSInvalidStateException' });
    },
  },
];

export const aliasScenarios: Scenario[] = [
  ...inKms,
  {
    name: 'aliases: declared ones are made, changed and removed with the key',
    run: async (context) => {
      const { call, kms } = context;
      const names = ['a', 'b', 'c'].map((letter) => `alias/declared-${Date.now()}-${letter}`);
      const [first = '', second = '', third = ''] = names;
      const key = await create(context, { aliases: [first, second] });
      assert.deepEqual(key.status.aliases, [first, second]);
      assert.deepEqual((await namesOf(kms, key.key_id)).sort(), [first, second]);
      const { status, body } = await call('PATCH', `/v1/keys/${key.id}`, { aliases: [second, third] });
      assert.equal(status, 200, JSON.stringify(body));
      assert.deepEqual((await namesOf(kms, key.key_id)).sort(), [second, third]);
      await call('PATCH', `/v1/keys/${key.id}`, { aliases: [] });
      assert.deepEqual(await namesOf(kms, key.key_id), []);
    },
  },
  {
    name: 'aliases: one that somebody adds is drift by its name, and goes with a sync',
    run: async (context) => {
      const { call, kms } = context;
      const key = await create(context, { aliases: [], drift_policy: 'report' });
      const alias = `alias/added-${key.key_id}`;
      await name(kms, alias, key.key_id);
      const { body } = await call('POST', `/v1/keys/${key.id}/refresh`);
      assert.deepEqual(
        body.status.drift.map(({ field }) => field),
        [`aliases.${alias}`],
      );
      await call('POST', `/v1/keys/${key.id}/sync`);
      assert.deepEqual(await namesOf(kms, key.key_id), []);
    },
  },
  {
    name: 'aliases: a key is looked up by one that nobody declared',
    run: async (context) => {
      const { call, kms } = context;
      const key = await create(context);
      const alias = `alias/look-up-${key.key_id}`;
      const look = (text: string) => call('GET', `/v1/keys/lookup?key=${encodeURIComponent(text)}`);
      assert.equal((await look(alias)).status, 404);
      await name(kms, alias, key.key_id);
      const [entry] = (await pagesOf(kms, key.key_id)).flat();
      for (const text of [alias, entry?.AliasArn ?? '']) assert.equal((await look(text)).body.id, key.id, text);
    },
  },
  {
    name: 'aliases: one of another key is refused, and taken where that is asked for',
    run: async (context) => {
      const { call, kms } = context;
      const names = ['a', 'b'].map((letter) => `alias/taken-${Date.now()}-${letter}`);
      const [kept = '', taken = ''] = names;
      const holder = await create(context, { aliases: names });
      const refused = await call('POST', '/v1/keys', { aliases: [taken] });
      assert.equal(refused.status, 409, JSON.stringify(refused.body));
      const made = await call('POST', '/v1/keys?take_aliases=true', { aliases: [taken] });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      assert.deepEqual(await namesOf(kms, made.body.key_id ?? ''), [taken]);
      const left = await eventually('the other one has it no more', async () => {
        const { body } = await call('GET', `/v1/keys/${holder.id}`);
        return body.status.state === 'in_sync' && body;
      });
      assert.deepEqual(left.aliases, [kept]);
      assert.deepEqual(await namesOf(kms, holder.key_id), [kept]);
    },
  },
  {
    name: 'aliases: one that no record declares is taken from its key where that is asked for',
    run: async (context) => {
      const { call, kms } = context;
      const [other, key] = [await createInKms(kms, { KeyUsage: 'ENCRYPT_DECRYPT' }), await create(context)];
      const alias = `alias/theirs-${other.KeyId}`;
      await name(kms, alias, other.KeyId);
      const path = `/v1/keys/${key.id}`;
      const refused = await call('PATCH', path, { aliases: [alias] });
      assert.equal(refused.status, 409, JSON.stringify(refused.body));
      assert.deepEqual(await namesOf(kms, other.KeyId), [alias]);
      const { status, body } = await call('PATCH', `${path}?take_aliases=true`, { aliases: [alias] });
      assert.equal(status, 200, JSON.stringify(body));
      assert.deepEqual([await namesOf(kms, other.KeyId), await namesOf(kms, key.key_id)], [[], [alias]]);
    },
  },
];
