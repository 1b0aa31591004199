import { test } from 'tap';
import type { NewToken } from '../../src/schemas/access.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { newDatabase } from '../support/postgres.ts';
import { startProcess, temporaryFolder } from '../support/process.ts';

test('neither log, answers, events nor metrics ever hold a token, an external id or a database URL', async (t) => {
  const DATABASE_URL = await newDatabase(t);
  const DATA_DIR = await temporaryFolder(t);
  const service = await startProcess(t, { ...withTokens, DATABASE_URL, DATA_DIR, LOG_LEVEL: 'trace' });
  const admin = callerWith(service.url, adminToken);
  const externalId = 'external-id-that-nobody-is-told';
  const wrong = `kwd_${'a-wrong-token-that-was-tried'.repeat(2)}`;
  const answers: string[] = [];
  const call = async (token: string, method: string, path: string, body?: unknown, headers = {}) => {
    const answer = await callerWith(service.url, token)<unknown>(method, path, body, headers);
    answers.push(JSON.stringify([answer.status, [...answer.headers], answer.body]));
    return answer;
  };
  const made = await admin<NewToken>(
    'POST',
    '/v1/tokens',
    { name: 'once', role: 'editor' },
    { 'idempotency-key': 'o' },
  );
  const { token } = made.body;
  const { token: gone, id } = await addToken(admin, { role: 'viewer' });
  await admin('DELETE', `/v1/tokens/${id}`);
  const role = { role_arn: 'arn:aws:iam::444455556666:role/keyward', external_id: externalId };
  const provider = { name: 'other', region: 'us-east-1', assume_role: role };

  await call(adminToken, 'POST', '/v1/providers', provider, { 'idempotency-key': 'p' });
  await call(adminToken, 'POST', '/v1/providers', provider, { 'idempotency-key': 'p' });
  await call(adminToken, 'PATCH', '/v1/providers/other', { assume_role: { ...role, external_id: `${externalId}-2` } });
  await call(adminToken, 'PATCH', '/v1/providers/other', { assume_role: { ...role, external_id: `${externalId} no` } });
  await call(adminToken, 'POST', '/v1/providers/other/check');
  await call(adminToken, 'POST', '/v1/keys', { provider: 'other' });
  for (const credential of [token, gone, wrong]) {
    await call(credential, 'POST', '/v1/keys', {});
    await call(credential, 'GET', '/v1/keys/x', undefined, { 'x-request-id': 'a-request' });
    await call(credential, 'POST', '/v1/keys', '{ broken');
    await call(credential, 'DELETE', '/v1/providers/other');
  }
  for (const path of ['/v1/tokens', '/v1/access/bindings', '/v1/providers', '/v1/events?limit=200', '/metrics']) {
    await call(adminToken, 'GET', path);
  }
  await call(adminToken, 'GET', '/readyz');
  service.child.kill('SIGTERM');
  await service.ended;

  const secrets = { 'a token': token, 'a revoked token': gone, 'a wrong token': wrong, 'the first token': adminToken };
  const hidden = { ...secrets, 'an external id': externalId, 'a database URL': DATABASE_URL };
  const password = new URL(DATABASE_URL).password;
  const log = service.stdout() + service.stderr();
  t.ok(log.length > 0);
  t.notOk(log.includes(password), 'the password of the database in the log');
  t.notOk(answers.join('\n').includes(password), 'the password of the database in an answer');
  for (const [what, secret] of Object.entries(hidden)) {
    t.notOk(log.includes(secret), `${what} in the log`);
    t.notOk(answers.join('\n').includes(secret), `${what} in an answer`);
  }
});
