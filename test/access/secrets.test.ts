import type { Client } from 'pg';
import { test } from 'tap';
import type { NewToken } from '../../src/schemas/access.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { connectTo, newDatabase } from '../support/postgres.ts';
import { run, startProcess, temporaryFolder } from '../support/process.ts';
import { eventually } from '../support/service.ts';

type Misplaced = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<unknown>;

/** Puts each secret wherever somebody may put it by mistake. */
async function misplace(secrets: string[], call: Misplaced): Promise<void> {
  for (const secret of secrets) {
    for (const path of [
      '/v1/keys',
      '/v1/tokens',
      '/v1/access/bindings',
      '/v1/access/roles',
      '/v1/providers',
      '/docs',
    ]) {
      await call('DELETE', `${path}/${secret}`);
    }
    await call('PATCH', `/v1/keys/${secret}?access_token=${secret}`, {});
    for (const name of ['key', 'provider', 'access_token', 'cursor', secret]) {
      await call('GET', `/v1/events?${name}=${secret}`);
    }
    await call('GET', `/v1/keys/lookup?key=${secret}`);
    for (const name of [
      'user-agent',
      'x-request-id',
      'if-match',
      'prefer',
      'keyward-on-behalf-of',
      'cookie',
      'origin',
    ]) {
      await call('DELETE', '/v1/keys/01980e6c-0000-7000-8000-000000000000', undefined, { [name]: secret });
    }
    await call('POST', '/v1/keys', '{}', { 'content-type': secret });
    await call('POST', '/v1/keys', '{}', { 'content-encoding': secret });
    for (const body of [
      secret,
      `{"description":"${secret}" x`,
      `{"${secret}":1}`,
      `["${secret}"`,
      `{"provider":"${secret}"}`,
    ]) {
      await call('POST', '/v1/keys', body);
    }
    await call('POST', '/v1/tokens', { name: secret, role: secret });
    await call('POST', '/v1/access/bindings', { role: 'viewer', subject: { token: secret.slice(0, 200) } });
    await call('POST', '/v1/keys/import', { key_id: secret });
  }
}

/** All that is in some tables, as text. */
async function wholeOf(client: Client, tables: string[]): Promise<string> {
  const texts = [];
  for (const table of tables) {
    const { rows } = await client.query<{ text: string | null }>(
      `SELECT string_agg(row_to_json(t)::text, E'\\n') AS text FROM ${table} t`,
    );
    texts.push(rows[0]?.text ?? '');
  }
  return texts.join('\n');
}

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
  await call(adminToken, 'POST', '/v1/providers', `{"name":"x","assume_role":{"external_id":"${externalId}"} "region"`);
  await call(adminToken, 'POST', '/v1/providers', { ...provider, assume_role: { ...role, external_id: [externalId] } });
  await call(adminToken, 'POST', '/v1/providers', { ...provider, external_id: externalId });
  await call(adminToken, 'POST', '/v1/providers/other/check');
  await call(adminToken, 'POST', '/v1/keys', { provider: 'other' });
  for (const credential of [token, gone, wrong]) {
    await call(credential, 'POST', '/v1/keys', {});
    await call(credential, 'GET', '/v1/keys/x', undefined, { 'x-request-id': 'a-request' });
    await call(credential, 'POST', '/v1/keys', '{ broken');
    await call(credential, 'DELETE', '/v1/providers/other');
  }
  const jwt = `eyJhbGciOiJub25lIn0.${Buffer.from('{"sub":"somebody","secret":"of a JWT"}').toString('base64url')}.c2lnbmF0dXJl`;
  await misplace([token, gone, wrong, jwt], (...args) => call(adminToken, ...args));
  for (const authorization of [`Basic ${btoa(`a:${token}`)}`, `Bearer ${token} ${token}`, `Token ${token}`, token]) {
    await call(adminToken, 'GET', '/v1/keys', undefined, { authorization });
  }
  const client = await connectTo(t, DATABASE_URL);
  for (const table of ['providers', 'api_tokens']) {
    await client.query(`ALTER TABLE ${table} RENAME TO away`);
    const body = { ...provider, name: `made-without-${table.replace('_', '-')}` };
    for (const credential of [wrong, adminToken]) await call(credential, 'POST', '/v1/providers', body);
    await client.query(`ALTER TABLE away RENAME TO ${table}`);
  }
  for (const path of ['/v1/tokens', '/v1/access/bindings', '/v1/providers', '/v1/events?limit=200', '/metrics']) {
    await call(adminToken, 'GET', path);
  }
  await call(adminToken, 'GET', '/readyz');
  const onRecord = await eventually('what was refused is on record', async () => {
    const text = await wholeOf(client, [
      'events',
      'revisions',
      'keys',
      'kms_writes',
      'access_bindings',
      'access_roles',
    ]);
    return /"path": ?"\/v1\/keys\/kwd_…"/.test(text) && text;
  });
  service.child.kill('SIGTERM');
  await service.ended;
  const unreachable = new URL(DATABASE_URL);
  [unreachable.port, unreachable.password] = ['1', 'password-of-a-database'];
  const failing = run(t, 'src/tokens.ts', { DATABASE_URL: unreachable.href }, ['list']);
  t.not((await failing.ended).code, 0);
  t.notOk((failing.stdout() + failing.stderr()).includes('password-of-a-database'));

  const secrets = {
    'a JWT': jwt,
    'a token': token,
    'a revoked token': gone,
    'a wrong token': wrong,
    'the first token': adminToken,
  };
  const hidden = { ...secrets, 'an external id': externalId, 'a database URL': DATABASE_URL };
  const password = new URL(DATABASE_URL).password;
  const log = service.stdout() + service.stderr();
  t.match(log, /request failed/, 'errors of the database are in it');
  t.notOk(log.includes(password), 'the password of the database in the log');
  t.notOk(answers.join('\n').includes(password), 'the password of the database in an answer');
  for (const [what, secret] of Object.entries(hidden)) {
    t.notOk(log.includes(secret), `${what} in the log`);
    t.notOk(onRecord.includes(secret), `${what} in the history`);
    t.notOk(answers.join('\n').includes(secret), `${what} in an answer`);
  }
});
