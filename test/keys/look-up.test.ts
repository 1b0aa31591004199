import { CreateAliasCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { addProvider } from '../support/providers.ts';
import { kmsClient, type Problem, startService } from '../support/service.ts';

test('a key is found by whatever names it, and nothing is guessed', async (t) => {
  const { url, kmsUrl, control, kms } = await startService(t, withTokens);
  const call = callerWith(url, adminToken);
  await addProvider(call, { name: 'eu', region: 'eu-west-1' });
  const eu = kmsClient(kmsUrl, '111122223333', 'eu-west-1');
  t.teardown(() => eu.destroy());
  const make = async (body: object) => (await call('POST', '/v1/keys', body)).body;
  const mine = await make({ multi_region: true, tags: { team: 'payments' } });
  const theirs = await make({ provider: 'eu' });
  const name = (client: typeof kms, AliasName: string, { key_id }: Key) =>
    client.send(new CreateAliasCommand({ AliasName, TargetKeyId: key_id ?? '' }));
  await name(kms, 'alias/both', mine);
  await name(eu, 'alias/both', theirs);
  await name(eu, 'alias/theirs', theirs);
  const look = (key: string, { provider = '', as = call } = {}) =>
    as<Key & Problem>(
      'GET',
      `/v1/keys/lookup?key=${encodeURIComponent(key)}${provider === '' ? '' : `&provider=${provider}`}`,
    );
  const arnOf = (alias: string, region: string) => `arn:aws:kms:${region}:111122223333:${alias}`;

  for (const text of [mine.id, mine.key_id, mine.arn, arnOf('alias/both', 'us-east-1')]) {
    const { status, body, headers } = await look(text ?? '');
    const shown = await call('GET', `/v1/keys/${mine.id}`);
    t.same([status, body, headers.get('etag')], [200, shown.body, shown.headers.get('etag')], `${text}`);
  }
  t.equal((await look('alias/theirs')).body.id, theirs.id, 'KMS is asked for an alias that nobody declared');
  t.equal((await look('alias/both', { provider: 'eu' })).body.id, theirs.id);
  const ambiguous = await look('alias/both');
  t.equal(ambiguous.status, 409);
  for (const { id, provider } of [mine, theirs]) t.match(ambiguous.body.detail, `${id} of provider ${provider}`);

  const nowhere: [string, string][] = [
    ['alias/none', ''],
    ['alias/theirs', 'default'],
    ['alias/theirs', 'no-such-provider'],
    [mine.id, 'eu'],
    [arnOf('alias/theirs', 'us-east-1'), ''],
    ['mrk-0123456789abcdef0123456789abcdef', ''],
  ];
  for (const [text, provider] of nowhere) t.equal((await look(text, { provider })).status, 404, `${text} ${provider}`);
  for (const text of ['none', 'alias/', 'alias/a b', 'mrk-1', '%', "'", `${mine.arn}/x`]) {
    const { status, body } = await look(text);
    t.equal(status, 400, text);
    t.match(body, { errors: [{ parameter: 'key', detail: /alias ARN/ }] });
  }

  const declared = await make({ aliases: ['alias/declared'] });
  const { body: replica } = await call('POST', `/v1/keys/${mine.id}/replicas`, {
    provider: 'eu',
    aliases: ['alias/declared', 'alias/of-replica'],
  });
  const twice = await look(mine.key_id ?? '');
  t.equal(twice.status, 409, 'primary key and replica have one id');
  for (const id of [mine.id, replica.id]) t.match(twice.body.detail, id);
  t.equal((await look(mine.key_id ?? '', { provider: 'eu' })).body.id, replica.id);
  t.equal((await look('alias/declared')).status, 409);
  t.equal((await look('alias/declared', { provider: 'default' })).body.id, declared.id);
  t.equal((await look(arnOf('alias/declared', 'eu-west-1'))).body.id, replica.id);
  t.equal((await look('alias/of-replica')).body.id, replica.id);

  const { token } = await addToken(call, { role: 'viewer', tags: { team: 'payments' } });
  const limited = callerWith(url, token);
  t.equal((await look('alias/both', { as: limited })).body.id, mine.id, 'what may not be seen is no second one');
  t.equal((await look('alias/theirs', { as: limited })).status, 404);

  await control.fault({
    kind: 'error',
    operation: 'DescribeKey',
    type: 'KMSInternalException',
    status: 500,
    times: 99,
  });
  const untold = await look('alias/none');
  t.same([untold.status, untold.body.title], [503, 'Temporarily unavailable'], 'what KMS does not tell is unknown');
  t.match(untold.body.detail, /provider (default|eu) does not tell whether it has alias\/none/);
  for (const text of [mine.id, 'alias/of-replica', arnOf('alias/declared', 'us-east-1')]) {
    t.equal((await look(text)).status, 200, `${text} is on record, which needs no KMS`);
  }
});
