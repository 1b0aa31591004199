import { DescribeKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { connectTo, newDatabase } from '../support/postgres.ts';
import { caller, eventually, type Problem, startService } from '../support/service.ts';

const take = '?take_aliases=true';
const role = 'arn:aws:iam::444455556666:role/keyward';
const away = { prefer: 'respond-async' };

async function startWithTwin(t: Parameters<typeof startService>[0]) {
  const service = await startService(t, { SETTLE_SECONDS: '0' });
  const { call, kms, kmsUrl } = service;
  await caller(kmsUrl)('PUT', '/_local/roles', { arn: role });
  const provider = async (name: string, settings: object = {}) =>
    t.equal((await call('POST', '/v1/providers', { name, region: 'us-east-1', ...settings })).status, 201);
  await provider('twin');
  const targetOf = async (name: string) => (await kms.send(new DescribeKeyCommand({ KeyId: name }))).KeyMetadata?.KeyId;
  const get = async ({ id }: Pick<Key, 'id'>) => (await call('GET', `/v1/keys/${id}`)).body;
  return { ...service, provider, targetOf, get };
}

test('of two providers that lead to one KMS one key declares an alias, whoever asks at the same moment', async (t) => {
  const { call, control, provider, targetOf, get } = await startWithTwin(t);
  for (let round = 0; round < 5; round += 1) {
    const name = `alias/raced/${round}`;
    const asked = await Promise.all(
      ['default', 'twin', 'default', 'twin'].map((at) =>
        call('POST', `/v1/keys${take}`, { provider: at, aliases: [name] }),
      ),
    );
    const made = asked.filter(({ status }) => status === 201 || status === 202);
    t.ok(made.length > 0);
    t.ok(asked.every(({ status }) => [201, 202, 409].includes(status)));
    const [owner, ...others] = await eventually('one of them declares it, and has it', async () => {
      const keys = await Promise.all(made.map(({ body }) => get(body)));
      const declaring = keys.filter(({ aliases }) => aliases?.includes(name));
      const isOver = keys.every(({ status }) => status.state === 'in_sync');
      return isOver && declaring.length > 0 && declaring;
    });
    t.same(others, []);
    t.equal(await targetOf(name), owner?.key_id);
  }

  await control.fault({ operation: 'CreateKey', kind: 'throttle', times: null });
  const { body: first } = await call('POST', '/v1/keys', { aliases: ['alias/waits'] }, away);
  const refused = await call<Problem>('POST', `/v1/keys${take}`, { provider: 'twin', aliases: ['alias/waits'] });
  t.match(refused, { status: 409, body: { detail: new RegExp(first.id), errors: [{ pointer: '/aliases/0' }] } });
  await control.clearFaults();
  await eventually('it is made', async () => (await get(first)).status.state === 'in_sync');

  await provider('other', { assume_role: { role_arn: role } });
  const elsewhere = await call('POST', '/v1/keys', { provider: 'other', aliases: ['alias/waits'] });
  t.equal(elsewhere.status, 201, 'in another account it is another name');
  const back = await call('POST', '/v1/keys', { aliases: ['alias/other'] });
  t.equal((await call('PATCH', `/v1/keys/${elsewhere.body.id}`, { aliases: ['alias/other'] })).status, 200);
  t.equal(back.status, 201);
});

test('where nobody can tell whether two providers lead to one KMS, neither takes a name of the other', async (t) => {
  const { call, control, kmsUrl, provider } = await startWithTwin(t);
  t.equal((await call('POST', '/v1/keys', { aliases: ['alias/one'] })).status, 201);
  await provider('named', { endpoint: kmsUrl });
  const named = await call<Problem>('POST', `/v1/keys${take}`, { provider: 'named', aliases: ['alias/one'] });
  t.match(named, { status: 409, body: { detail: /which leads to the same KMS/ } }, 'by another name of its host');
  // It has a key of its own by which the KMS is known, and one whose name is yet to be made.
  await call('POST', '/v1/keys', { provider: 'named' });
  await control.fault({ operation: 'CreateAlias', kind: 'throttle', times: null });
  await call('POST', '/v1/keys', { provider: 'named', aliases: ['alias/two'] }, away);
  const waiting = await call<Problem>('POST', `/v1/keys${take}`, { aliases: ['alias/two'] });
  t.match(waiting, { status: 409, body: { detail: /provider named, which leads to the same KMS/ } });
  await control.clearFaults();

  await provider('untold', { endpoint: kmsUrl, assume_role: null });
  await control.fault({ operation: 'GetCallerIdentity', kind: 'internal_error', times: null });
  const { body: key } = await call('POST', '/v1/keys', { aliases: ['alias/three'] });
  t.same(key.aliases, ['alias/three']);
  const untold = await call<Problem>('POST', `/v1/keys${take}`, { provider: 'untold', aliases: ['alias/three'] });
  t.match(untold, { status: 409, body: { detail: /may lead to the same KMS/ } });
});

test('two keys that come to declare one alias of one KMS do not fetch it to and fro', async (t) => {
  const { call, control, services, provider, targetOf, get } = await startWithTwin(t);
  const { body: owner } = await call('POST', '/v1/keys', { aliases: ['alias/fought', 'alias/owned'] });
  await provider('moved', { assume_role: { role_arn: role } });
  await control.fault({ operation: 'CreateKey', kind: 'throttle', times: null });
  const aliases = ['alias/fought', 'alias/mine'];
  const { status, body: later } = await call('POST', `/v1/keys${take}`, { provider: 'moved', aliases }, away);
  t.equal(status, 202, 'of another account, as it is');
  t.equal((await call('PATCH', '/v1/providers/moved', { assume_role: null })).status, 200);
  const refused = await eventually('the later one does not get it', async () => {
    const key = await get(later);
    return key.status.state === 'failed' && key;
  });
  // No sooner: what had begun before would make the key in the other account.
  await control.clearFaults();
  t.match(refused, { arn: null, status: { error: { code: 'AliasTaken' } } });
  t.match((await call('POST', `/v1/keys/${owner.id}/sync`)).body, { aliases: owner.aliases, status: { drift: [] } });
  t.equal(await targetOf('alias/fought'), owner.key_id);
  // As a database has it in which two have been at it.
  const { body: other } = await call('POST', '/v1/keys', { provider: 'twin', aliases: ['alias/other'] });
  const fought = JSON.stringify(['alias/other', 'alias/owned']);

  await services.database.pool.query('UPDATE keys SET aliases = $2 WHERE id = $1', [other.id, fought]);
  for (const path of [other.id, owner.id, other.id, owner.id]) await call('POST', `/v1/keys/${path}/sync`);
  t.match(await get(other), { aliases: ['alias/other'], status: { state: 'in_sync' } });
  t.match(await get(owner), { aliases: owner.aliases, status: { state: 'in_sync' } });
  t.equal(await targetOf('alias/owned'), owner.key_id);
  type Events = { items: { actor: string; data: object }[] };
  const { body } = await call<Events>('GET', `/v1/events?key=${other.id}&type=desired_state.changed&limit=1`);
  t.match(body.items[0], {
    actor: 'keyward',
    data: {
      origin: 'alias_taken',
      changes: { aliases: { before: ['alias/other', 'alias/owned'], after: ['alias/other'] } },
    },
  });

  const moves = (await control.calls()).filter(({ operation }) => operation === 'UpdateAlias');
  t.same(moves, []);
});

test('of two that declare an alias at once, by locks that do not exclude each other, one is told of a conflict', async (t) => {
  const DATABASE_URL = await newDatabase(t);
  const { call } = await startService(t, { DATABASE_URL });
  const { body: other } = await call('POST', '/v1/keys', {});
  const before = await connectTo(t, DATABASE_URL);
  await before.query('BEGIN');
  await before.query(`INSERT INTO declared_aliases (name, provider, key_ref) VALUES ('alias/at-once', 'default', $1)`, [
    other.id,
  ]);
  const asked = call<Problem>('POST', '/v1/keys', { aliases: ['alias/at-once'] });
  await eventually('it waits for the other', async () => {
    const { rows } = await before.query("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'");
    return rows.length > 0;
  });
  await before.query('COMMIT');
  t.match(await asked, {
    status: 409,
    body: { type: '/problems/conflict', detail: /declared one of the aliases by now/ },
  });
});
