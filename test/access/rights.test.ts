import { randomUUID } from 'node:crypto';
import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import { addToken, adminToken, callerWith, type Wanted, withTokens } from '../support/access.ts';
import { type Call, caller, eventually, type Problem, startService } from '../support/service.ts';

type List<Item> = { items: Item[]; next_cursor: string | null };
type Role = 'viewer' | 'operator' | 'editor' | 'admin';
type Limit = 'unlimited' | 'matching' | 'elsewhere';

/**
 * A request for each operation that goes no further than its check of rights, and what the README of rights says of it: the least
 * role, and whether a limited right reaches. `right`: the answer to whoever may; it changes nothing.
 */
type Probe = {
  least: Role | 'anyone';
  reach: 'key' | 'provider' | 'list' | 'everywhere';
  right: number;
  body?: unknown;
  query?: string;
  headers?: Record<string, string>;
  /** Of a list that is asked for a provider outside of the limit. */
  elsewhere?: number;
};

const stale = { headers: { 'if-match': '"999.0"' }, right: 412 };
const broken = { body: { no_such_field: 1 }, right: 422 };
const ofKey = (least: Role, probe: Partial<Probe> & { right: number }): Probe => ({ least, reach: 'key', ...probe });
const all = (least: Role, probe: Partial<Probe> & { right: number }): Probe => ({
  least,
  reach: 'everywhere',
  ...probe,
});
const list = (least: Role, probe: Partial<Probe> & { right: number }): Probe => ({ least, reach: 'list', ...probe });

const probes: Record<string, Probe> = {
  listKeys: list('viewer', { right: 200 }),
  summarizeKeys: list('viewer', { right: 200 }),
  lookUpKey: list('viewer', { right: 404, query: '?key=00000000-0000-4000-8000-000000000000' }),
  exportKeys: list('viewer', { right: 200 }),
  applyKeys: list('editor', {
    right: 422,
    body: '{"no_such_field":1}',
    headers: { 'content-type': 'application/x-ndjson' },
  }),
  exportTerraform: list('viewer', { right: 200, query: '?provider=default', elsewhere: 404 }),
  getKeyTerraform: ofKey('viewer', { right: 200 }),
  createKey: list('editor', broken),
  getKey: ofKey('viewer', { right: 200 }),
  putKey: ofKey('editor', { ...stale, body: {} }),
  updateKey: ofKey('editor', { ...stale, body: {} }),
  deleteKey: ofKey('editor', stale),
  restoreKey: ofKey('operator', stale),
  releaseKey: ofKey('editor', stale),
  releaseKeys: list('editor', broken),
  refreshKey: ofKey('operator', stale),
  syncKey: ofKey('operator', stale),
  planCreateKey: list('editor', broken),
  planUpdateKey: ofKey('viewer', broken),
  replaceKey: ofKey('editor', { ...stale, body: {} }),
  recreateKey: ofKey('editor', stale),
  resolveKey: all('admin', broken),
  rotateKey: ofKey('operator', stale),
  listKeyRotations: ofKey('viewer', { right: 200 }),
  listKeyGrants: ofKey('viewer', { right: 200 }),
  revokeKeyGrant: ofKey('editor', stale),
  retireKeyGrant: ofKey('editor', stale),
  replicateKey: ofKey('editor', { right: 409, body: { provider: 'default' } }),
  promoteKey: ofKey('editor', stale),
  listKeyRevisions: ofKey('viewer', { right: 200 }),
  rollbackKey: ofKey('editor', broken),
  listKeyEvents: ofKey('viewer', { right: 200 }),
  importKey: list('editor', broken),
  createImport: list('editor', broken),
  listImports: list('viewer', { right: 200 }),
  getImport: list('viewer', { right: 404 }),
  listImportItems: list('viewer', { right: 404 }),
  cancelImport: list('editor', { right: 404 }),
  listUnmanagedKeys: list('editor', { right: 200, query: '?provider=default', elsewhere: 404 }),
  listEvents: list('viewer', { right: 200 }),
  listProviders: list('viewer', { right: 200 }),
  createProvider: all('admin', broken),
  getProvider: { least: 'viewer', reach: 'provider', right: 200 },
  updateProvider: all('admin', { ...stale, body: {} }),
  deleteProvider: all('admin', stale),
  checkProvider: all('admin', { right: 200 }),
  getRecovery: all('viewer', { right: 200 }),
  listHeldKeys: all('viewer', { right: 200 }),
  resumeHeldKeys: all('admin', broken),
  getMetrics: all('admin', { right: 200 }),
  getAccess: { least: 'anyone', reach: 'list', right: 200 },
  listRoles: all('admin', { right: 200 }),
  putRole: all('admin', broken),
  deleteRole: all('admin', { right: 409 }),
  listBindings: all('admin', { right: 200 }),
  createBinding: all('admin', broken),
  deleteBinding: all('admin', { right: 404 }),
  listTokens: all('admin', { right: 200 }),
  createToken: all('admin', broken),
  deleteToken: all('admin', { right: 404 }),
};

const roles: Role[] = ['viewer', 'operator', 'editor', 'admin'];
const limits: Record<Limit, Pick<Wanted, 'providers' | 'tags'>> = {
  unlimited: {},
  matching: { providers: ['default'], tags: { team: 'payments' } },
  elsewhere: { providers: ['eu'], tags: { team: 'cards' } },
};

/** What the documentation promises, worked out anew. */
function expected({ least, reach, right, elsewhere }: Probe, role: Role, limit: Limit): number {
  if (least === 'anyone') return right;
  const may = roles.indexOf(role) >= roles.indexOf(least);
  if (reach === 'everywhere') return may && limit === 'unlimited' ? right : 403;
  if (reach !== 'list' && limit === 'elsewhere') return 404;
  if (!may) return 403;
  return limit === 'elsewhere' ? (elsewhere ?? right) : right;
}

test('rights', async (t) => {
  const { url, services, kms, kmsUrl, control } = await startService(t, withTokens);
  const admin = callerWith(url, adminToken);
  await admin('POST', '/v1/providers', { name: 'eu', region: 'eu-west-1' });
  const make = async (body: object) => (await admin('POST', '/v1/keys', body)).body;
  const own = await make({ tags: { team: 'payments' } });
  const other = await make({ tags: { team: 'cards' }, description: 'cards' });

  const standing = async () => {
    const { rows } = await services.database.pool.query(`SELECT
      (SELECT json_agg((id, generation, requested_observation, tags) ORDER BY id) FROM keys JOIN work ON key_ref = id) AS keys,
      (SELECT json_agg((name, version) ORDER BY name) FROM providers) AS providers,
      (SELECT json_agg((id, role) ORDER BY id) FROM access_bindings) AS bindings,
      (SELECT json_agg(name ORDER BY name) FROM api_tokens) AS tokens,
      (SELECT count(*) FROM access_roles) AS roles, (SELECT count(*) FROM errands) AS errands`);
    return rows[0];
  };

  const { body: document } = await admin<{
    paths: Record<string, Record<string, { operationId: string; security: object[]; description?: string }>>;
  }>('GET', '/openapi.json');
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })),
  );
  const guarded = operations.filter(({ security }) => security.length > 0);
  const send = (call: Call, { path, method, operationId }: (typeof guarded)[number]) => {
    const { body, query = '', headers = {} } = probes[operationId] ?? { body: undefined };
    const isRole = path.startsWith('/v1/access/roles');
    const name = isRole ? (method === 'PUT' ? 'own' : 'viewer') : 'default';
    const id = path.startsWith('/v1/keys') ? own.id : '01980e6c-0000-7000-8000-000000000000';
    return call<Problem>(method, path.replace('{id}', id).replace('{name}', name) + query, body, headers);
  };

  t.test('every operation but those of health needs credentials, and says which permission', async (t) => {
    t.same(
      operations
        .filter(({ security }) => security.length === 0)
        .map(({ operationId }) => operationId)
        .sort(),
      ['getLiveness', 'getReadiness'],
    );
    t.same(
      guarded.map(({ operationId }) => operationId).filter((id) => probes[id] === undefined),
      [],
      'each has a probe',
    );
    for (const { operationId, security, description } of guarded) {
      t.same(security, [{ bearer: [] }], operationId);
      t.match(
        description,
        operationId === 'getAccess' ? /no permission/ : /Needs the permission `[a-z:-]+`/,
        operationId,
      );
    }
  });

  t.test('every operation, for every role, unlimited, limited to the key, and limited to others', async (t) => {
    const tokens: { role: Role; limit: Limit; call: Call }[] = [];
    for (const role of roles) {
      for (const limit of Object.keys(limits) as Limit[]) {
        const { token } = await addToken(admin, { role, ...limits[limit] });
        tokens.push({ role, limit, call: callerWith(url, token) });
      }
    }
    const before = await standing();
    let cases = 0;
    for (const operation of guarded) {
      const probe = probes[operation.operationId] as Probe;
      for (const { role, limit, call } of tokens) {
        cases += 1;
        const { status, body } = await send(call, operation);
        const wanted = expected(probe, role, limit);
        if (status === wanted) continue;
        t.fail(
          `${operation.operationId} by ${role}, ${limit}: ${status} in place of ${wanted}: ${JSON.stringify(body)}`,
        );
      }
    }
    t.ok(cases > 480, `${cases} cases`);
    t.same(await standing(), before, 'nothing was changed');
  });

  t.test('every operation, with no credentials, wrong ones, expired ones and revoked ones', async (t) => {
    const short = await addToken(admin, { role: 'admin', expires_at: new Date(Date.now() + 500).toISOString() });
    const revoked = await addToken(admin, { role: 'admin' });
    await admin('DELETE', `/v1/tokens/${revoked.id}`);
    const expired = callerWith(url, short.token);
    await eventually('it has expired', async () => (await expired('GET', '/v1/keys')).status === 401);
    const wrong = `${revoked.token.slice(0, -1)}${revoked.token.endsWith('0') ? '1' : '0'}`;
    const before = await standing();
    for (const operation of guarded) {
      for (const call of [caller(url), expired, callerWith(url, revoked.token), callerWith(url, wrong)]) {
        const { status, headers } = await send(call, operation);
        if (status !== 401) t.fail(`${operation.operationId}: ${status}`);
        t.match(headers.get('www-authenticate'), /^Bearer realm="keyward"/);
      }
    }
    t.same(await standing(), before, 'nothing was changed');
  });

  const { token } = await addToken(admin, { role: 'editor', tags: { team: 'payments' } });
  const payments = callerWith(url, token);
  const ghost = '01980e6c-0000-7000-8000-000000000000';
  /** An answer without what tells of the request itself. */
  const shape = ({ status, body }: { status: number; body: Problem }, id: string) => ({
    status,
    body: JSON.parse(JSON.stringify({ ...body, request_id: '' }).replaceAll(id, '<id>')),
  });

  t.test('a caller limited to team=payments sees and counts no key of another team', async (t) => {
    const ids = async (query: string) =>
      (await payments<List<Key>>('GET', `/v1/keys${query}`)).body.items.map(({ id }) => id);
    t.same(await ids(''), [own.id]);
    for (const query of [
      '?tag=team:cards',
      `?key_id=${other.key_id}`,
      `?arn=${other.arn}`,
      '?tag=team:cards&tag=team',
      '?q=cards',
    ]) {
      t.same(await ids(query), [], query);
    }
    t.equal((await payments<List<Key>>('GET', '/v1/keys?limit=1')).body.next_cursor, null, 'nor is there another page');
    const lookUp = async (key: string | null) =>
      (await payments('GET', `/v1/keys/lookup?key=${encodeURIComponent(key ?? '')}`)).status;
    for (const name of ['id', 'key_id', 'arn'] as const) {
      t.same([await lookUp(own[name]), await lookUp(other[name])], [200, 404], name);
    }
    const { body: provider } = await payments<{ progress: object }>('GET', '/v1/providers/default');
    t.match(provider.progress, { keys_total: 1, keys_in_sync: 1 }, 'a provider counts what may be seen');
    const { body: events } = await payments<List<{ key: string | null }>>('GET', '/v1/events?limit=200');
    t.ok(events.items.length > 0);
    t.ok(
      events.items.every(
        ({ key, ...event }) => key === own.id || (key === null && JSON.stringify(event).includes('"provider.')),
      ),
    );
    t.same((await payments<List<Key>>('GET', `/v1/events?key=${other.id}`)).body.items, []);
    t.match((await payments<Key>('GET', `/v1/keys/${own.id}`)).body.allowed_actions, [
      ...['keys:read', 'keys:create', 'keys:update', 'keys:delete', 'keys:restore', 'keys:release'],
      ...['keys:import', 'keys:replace', 'keys:rotate', 'keys:grants', 'keys:sync'],
    ]);
  });

  t.test('every operation on a key of another team is answered as for a key that never was', async (t) => {
    const before = await standing();
    for (const { path, method, operationId } of guarded.filter(({ path }) => path.startsWith('/v1/keys/{id}'))) {
      // A PUT of an id that never was makes the key.
      if (operationId === 'putKey') continue;
      const { body, headers = {} } = probes[operationId] as Probe;
      const [hidden, absent] = await Promise.all(
        [other.id, ghost].map(async (id) => {
          const answer = await payments<Problem>(method, path.replace('{id}', id), body, headers);
          return shape(answer, id);
        }),
      );
      t.same(hidden, absent, operationId);
      t.equal(hidden?.status, operationId === 'resolveKey' ? 403 : 404, operationId);
    }
    t.same(await standing(), before);
  });

  t.test('nor can it take a key by a tag, give one away, or declare one outside of its limit', async (t) => {
    const retagged = await make({ tags: { team: 'cards' } });
    await admin('PATCH', `/v1/keys/${retagged.id}`, { tags: { team: 'payments' } });
    const before = await standing();
    const attempts: [method: string, path: string, body: object][] = [
      ['POST', '/v1/keys', {}],
      ['POST', '/v1/keys', { tags: { team: 'cards' } }],
      ['POST', '/v1/keys', { tags: { Team: 'payments' } }],
      ['PATCH', `/v1/keys/${own.id}`, { tags: { team: 'cards' } }],
      ['PATCH', `/v1/keys/${own.id}`, { tags: { team: null } }],
      ['PATCH', `/v1/keys/${own.id}`, { tags: null }],
      ['POST', `/v1/keys/${own.id}/replace`, { multi_region: true, tags: { team: 'cards' } }],
      ['POST', `/v1/keys/${retagged.id}/rollback`, { generation: 1 }],
      ['PATCH', `/v1/keys/${own.id}`, { bypass_policy_lockout_safety_check: true }],
      ['POST', '/v1/keys', { tags: { team: 'payments' }, bypass_policy_lockout_safety_check: true }],
    ];
    for (const [method, path, body] of attempts) {
      const { status, body: problem } = await payments<Problem>(method, path, body);
      t.equal(status, 403, `${method} ${path} ${JSON.stringify(body)}: ${problem.detail}`);
    }
    t.same(await standing(), before, 'nothing was recorded');
    const mine = await payments('POST', '/v1/keys', { tags: { team: 'payments', env: 'test' } });
    t.equal(mine.status, 201);
    t.equal((await payments('PATCH', `/v1/keys/${mine.body.id}`, { tags: { env: null } })).status, 200);
  });

  t.test('a PUT needs keys:create or keys:update, by what it does, within the limits', async (t) => {
    const held = async (permissions: string[], limit: object = {}) => {
      const role = `put-${permissions.map((one) => one.slice(5)).join('-')}`;
      t.equal((await admin('PUT', `/v1/access/roles/${role}`, { permissions })).status < 300, true);
      return callerWith(url, (await addToken(admin, { role, ...limit } as Wanted)).token);
    };
    const maker = await held(['keys:read', 'keys:create']);
    const changer = await held(['keys:read', 'keys:update']);
    const fresh = () => `/v1/keys/${randomUUID()}`;
    const path = fresh();
    t.equal((await changer('PUT', path, {})).status, 403, 'keys:update makes nothing');
    t.equal((await maker('PUT', path, {})).status, 201);
    t.equal((await maker('PUT', path, { description: 'x' })).status, 403, 'keys:create changes nothing');
    t.equal((await maker('PUT', path, {})).status, 403, 'nor looks at it');
    t.equal((await changer('PUT', path, { description: 'x' })).status, 200);
    t.equal((await payments('PUT', path, { tags: { team: 'payments' } })).status, 404, "another's key is not seen");
    t.equal((await payments('PUT', fresh(), {})).status, 403, 'outside of its limit');
    const within = fresh();
    t.equal((await payments('PUT', within, { tags: { team: 'payments' } })).status, 201);
    t.equal((await payments('PUT', within, {})).status, 403, 'nor may it be given away');
    t.match((await admin('GET', within)).body, { tags: { team: 'payments' }, status: { generation: 1 } });
  });

  t.test('a provider outside of its limit is one that does not exist', async (t) => {
    const { token: narrow } = await addToken(admin, { role: 'editor', providers: ['default'] });
    const call = callerWith(url, narrow);
    for (const [method, path, body] of [
      ['POST', '/v1/keys', { provider: '<name>', tags: { 'aws:x': '1' } }],
      ['POST', '/v1/keys/plan', { provider: '<name>' }],
      ['POST', '/v1/keys/import', { provider: '<name>', key_id: 'alias/x' }],
      ['GET', '/v1/unmanaged-keys?provider=<name>', undefined],
      ['GET', '/v1/providers/<name>', undefined],
      ['GET', '/v1/keys?provider=<name>', undefined],
      ['GET', '/v1/events?provider=<name>', undefined],
    ] as const) {
      const at = async (name: string) => {
        const text = body === undefined ? undefined : JSON.stringify(body).replace('<name>', name);
        return shape(await call<Problem>(method, path.replace('<name>', name), text), name);
      };
      t.same(await at('eu'), await at('nowhere'), `${method} ${path}`);
    }
    t.same(
      (await call<List<{ name: string }>>('GET', '/v1/providers')).body.items.map(({ name }) => name),
      ['default'],
    );
  });

  t.test('of keys in KMS it sees those with its tags, and no word of others', async (t) => {
    const made = await Promise.all(
      ['payments', 'cards'].map(async (team) => {
        const command = new CreateKeyCommand({ Tags: [{ TagKey: 'team', TagValue: team }] });
        return (await kms.send(command)).KeyMetadata?.KeyId ?? '';
      }),
    );
    const [ofPayments = '', ofCards = ''] = made;
    await sweepUnmanagedKeys(services);
    const { body } = await payments<List<{ key_id: string }>>('GET', '/v1/unmanaged-keys');
    t.same(
      body.items.map(({ key_id }) => key_id),
      [ofPayments],
    );
    const absent = '11111111-2222-3333-4444-555555555555';
    const take = async (keyId: string) =>
      shape(await payments<Problem>('POST', '/v1/keys/import', { key_id: keyId }), keyId);
    const never = await take(absent);
    t.equal(never.status, 404);
    t.same(await take(ofCards), never, 'an unmanaged key of another team');
    t.same(await take(other.key_id ?? ''), never, 'a managed key of another team');
    t.equal((await payments('POST', '/v1/keys/import', { key_id: ofPayments })).status, 201);
  });

  t.test('nor does a denial of KMS tell it of one', async (t) => {
    const absent = '11111111-2222-3333-4444-555555555555';
    const take = async () => shape(await payments<Problem>('POST', '/v1/keys/import', { key_id: absent }), absent);
    const never = await take();
    for (const type of ['AccessDeniedException', 'InvalidArnException']) {
      await control.fault({ kind: 'error', operation: 'DescribeKey', type });
      t.same(await take(), never, type);
    }
    await control.clearFaults();
  });

  t.test('nor does a key whose tags KMS does not tell, and no page is shorter for what is hidden', async (t) => {
    const { KeyMetadata: untold } = await kms.send(new CreateKeyCommand({ Description: 'untold' }));
    const denied = { kind: 'error', type: 'AccessDeniedException', times: null };
    await control.fault({ operation: 'ListResourceTags', key_id: untold?.KeyId, ...denied });
    const Tags = [{ TagKey: 'team', TagValue: 'payments' }];
    const made = [await kms.send(new CreateKeyCommand({ Tags })), await kms.send(new CreateKeyCommand({ Tags }))];
    await sweepUnmanagedKeys(services);
    await control.clearFaults();
    const list = async (call: Call) => (await call<List<{ key_id: string }>>('GET', '/v1/unmanaged-keys?limit=2')).body;
    const { items, next_cursor } = await list(payments);
    const own = made.map(({ KeyMetadata }) => KeyMetadata?.KeyId ?? '');
    t.same(new Set(items.map(({ key_id }) => key_id)), new Set(own));
    t.equal(next_cursor, null);
    t.equal((await list(admin)).items.length, 2);
  });

  t.test('a right without limits beside a limited keys:read tells of no hidden key', async (t) => {
    await admin('PUT', '/v1/access/roles/resolver', {
      permissions: ['keys:resolve', 'keys:import', 'recovery:read', 'recovery:write'],
    });
    const { name, token } = await addToken(admin, { role: 'resolver' });
    const subject = { token: name };
    await admin('POST', '/v1/access/bindings', { role: 'viewer', subject, tags: { team: 'payments' } });
    const resolver = callerWith(url, token);
    const resolve = async (id: string) =>
      shape(await resolver<Problem>('POST', `/v1/keys/${id}/resolve`, { key_id: 'x', is_mine: true }), id);
    t.same(await resolve(other.id), await resolve(ghost));
    t.equal((await resolve(own.id)).status, 409, 'what it sees it is told of');
    const take = async (id: string) => shape(await resolver<Problem>('POST', '/v1/keys/import', { key_id: id }), id);
    t.same(await take(other.key_id ?? ''), await take(ghost));
    t.equal((await resolver('GET', '/v1/recovery/keys')).status, 403);
    t.equal((await resolver('POST', '/v1/recovery/resume', { keys: 'all', as: 'observed' })).status, 403);
  });

  t.test('default and ignored tags of a provider with keys need keys:update without limits', async (t) => {
    await admin('PUT', '/v1/access/roles/plumber', { permissions: ['providers:write', 'keys:read'] });
    const { name, token } = await addToken(admin, { role: 'plumber' });
    const subject = { token: name };
    await admin('POST', '/v1/access/bindings', { role: 'editor', subject, tags: { team: 'payments' } });
    const plumber = callerWith(url, token);
    const before = await standing();
    for (const change of [{ default_tags: { team: 'payments' } }, { ignore_tags: { keys: ['team'] } }]) {
      const { status, body } = await plumber<Problem>('PATCH', '/v1/providers/default', change);
      t.match({ status, body }, { status: 403, body: { detail: /keys:update/ } });
    }
    t.same(await standing(), before);
    t.equal((await plumber('PATCH', '/v1/providers/default', { refresh_interval_seconds: 601 })).status, 200);
    const empty = { name: 'empty', region: 'eu-west-1' };
    t.equal((await plumber('POST', '/v1/providers', empty)).status, 201);
    t.equal((await plumber('PATCH', '/v1/providers/empty', { default_tags: { team: 'x' } })).status, 200);
    t.equal((await admin('DELETE', '/v1/providers/empty')).status, 204);
  });

  t.test('whoever may write providers, but not see all keys, is told of none that is hidden', async (t) => {
    await admin('PUT', '/v1/access/roles/mover', {
      permissions: ['providers:write', 'providers:read', 'keys:update', 'recovery:read'],
    });
    const { name, token } = await addToken(admin, { role: 'mover' });
    const subject = { token: name };
    await admin('POST', '/v1/access/bindings', { role: 'viewer', subject, tags: { team: 'payments' } });
    const mover = callerWith(url, token);
    const { body: keys } = await admin<List<Key>>('GET', '/v1/keys?limit=200');
    const hidden = keys.items.filter(({ tags_all }) => tags_all['team'] !== 'payments');
    t.ok(hidden.length > 1);
    const before = await standing();
    const elsewhere = kmsUrl.replace('127.0.0.1', 'localhost');
    const tags = Object.fromEntries(Array.from({ length: 49 }, (_, index) => [`tag-${index}`, 'x']));
    const toldOf = async (method: string, path: string, status: number, body?: object) => {
      const answer = await mover<Problem>(method, path, body);
      t.equal(answer.status, status, `${method} ${path} ${JSON.stringify(answer.body)}`);
      const text = JSON.stringify(answer.body);
      const named = hidden.find(({ id, key_id, arn }) => [id, key_id, arn].some((one) => one && text.includes(one)));
      t.notOk(named, text);
      return answer.body;
    };
    const told = await toldOf('DELETE', '/v1/providers/default', 409);
    t.notMatch(told.detail, /\d/, 'nor how many there are');
    await toldOf('PATCH', '/v1/providers/default', 409, { region: 'eu-west-3' });
    await toldOf('PATCH', '/v1/providers/default', 422, { default_tags: tags });
    for (const type of ['NotFoundException', 'AccessDeniedException']) {
      const message = `arn:aws:kms:us-east-1:111122223333:key/${hidden[0]?.key_id} is not there`;
      await control.fault({ kind: 'error', operation: 'DescribeKey', type, message, times: null });
      await toldOf('PATCH', '/v1/providers/default', 409, { endpoint: elsewhere });
      await control.clearFaults();
    }
    await toldOf('POST', '/v1/providers/default/check', 200);
    const seen = keys.items.length - hidden.length;
    t.match(await toldOf('GET', '/v1/recovery', 200), { keys_total: seen, keys_checked: seen });
    t.same(await standing(), before);
  });

  t.test('a PUT under an id that a key in KMS carries takes that key over: with keys:import of it alone', async (t) => {
    const carrying = async (id: string, team: string) => {
      const Tags = Object.entries({ team, 'keyward:id': id }).map(([TagKey, TagValue]) => ({ TagKey, TagValue }));
      return (await kms.send(new CreateKeyCommand({ Tags, Description: team }))).KeyMetadata?.Arn ?? '';
    };
    const ids = Array.from({ length: 3 }, () => randomUUID());
    const [ofCards = '', ofPayments = '', second = ''] = ids;
    const arns = [
      await carrying(ofCards, 'cards'),
      await carrying(ofPayments, 'payments'),
      await carrying(second, 'payments'),
    ];
    await admin('PUT', '/v1/access/roles/declarer', { permissions: ['keys:read', 'keys:create', 'keys:update'] });
    const { token } = await addToken(admin, { role: 'declarer', tags: { team: 'payments' } });
    const body = { tags: { team: 'payments' } };
    const before = await standing();
    const put = async (call: Call, id: string) => (await call('PUT', `/v1/keys/${id}`, body)).status;
    t.equal(await put(payments, ofCards), 404, 'another team has it, as far as KMS tells');
    t.equal(await put(callerWith(url, token), ofPayments), 403, 'keys:create does not do');
    t.same(await standing(), before, 'nothing was recorded');
    const { status, body: taken } = await payments('PUT', `/v1/keys/${ofPayments}`, body);
    t.match({ status, arn: taken.arn }, { status: 201, arn: arns[1] });
    t.equal((await admin('PUT', `/v1/keys/${second}`, body)).body.arn, arns[2], 'who may import all keys is not asked');
    await control.fault({ kind: 'error', operation: 'ListKeys', type: 'AccessDeniedException' });
    t.equal(await put(payments, randomUUID()), 503, 'where KMS does not tell, nothing is recorded');
    await control.clearFaults();
    t.equal(await put(callerWith(url, token), randomUUID()), 201);
  });

  t.test('a replacement sends the policy anew: past the lockout check with keys:bypass-lockout alone', async (t) => {
    const locking = await make({ tags: { team: 'payments' }, bypass_policy_lockout_safety_check: true });
    const before = await standing();
    const replace = { multi_region: true };
    const { status, body } = await payments<Problem>('POST', `/v1/keys/${locking.id}/replace`, replace);
    t.match({ status, body }, { status: 403, body: { detail: /keys:bypass-lockout/ } });
    t.same(await standing(), before);
    t.equal((await admin('POST', `/v1/keys/${locking.id}/replace`, replace)).status, 200);
  });

  t.test('so does a recreation', async (t) => {
    const locking = await make({ tags: { team: 'payments' }, bypass_policy_lockout_safety_check: true });
    await control.loseKey(locking.arn);
    await eventually('KMS is known to have lost it', async () => {
      const { body } = await payments('POST', `/v1/keys/${locking.id}/refresh`);
      return body.status.state === 'failed';
    });
    const before = await standing();
    const { status, body } = await payments<Problem>('POST', `/v1/keys/${locking.id}/recreate`);
    t.match({ status, body }, { status: 403, body: { detail: /keys:bypass-lockout/ } });
    t.same(await standing(), before);
    t.equal((await admin('POST', `/v1/keys/${locking.id}/recreate`)).status, 200);
  });

  t.test('an ETag is of what the caller was shown, its allowed_actions too', async (t) => {
    const role = { permissions: ['keys:read', 'keys:update', 'keys:create'] };
    await admin('PUT', '/v1/access/roles/changing', role);
    const { token } = await addToken(admin, { role: 'changing', tags: { team: 'payments' } });
    const call = callerWith(url, token);
    const path = `/v1/keys/${own.id}`;
    const first = await call('GET', path);
    const etag = first.headers.get('etag') ?? '';
    t.equal((await call('GET', path, undefined, { 'if-none-match': etag })).status, 304);
    t.equal(
      (await admin('GET', path, undefined, { 'if-none-match': etag })).status,
      200,
      'of another caller it is none',
    );
    await admin('PUT', '/v1/access/roles/changing', { permissions: [...role.permissions, 'keys:delete'] });
    const { status, body } = await call('GET', path, undefined, { 'if-none-match': etag });
    t.equal(status, 200);
    t.same(new Set(body.allowed_actions), new Set([...role.permissions, 'keys:delete']));
    t.equal((await call('PUT', path, { tags: body.tags }, { 'if-none-match': etag })).status, 412, 'it is there');
    t.equal((await call('PATCH', path, { description: 'by its tag' }, { 'if-match': etag })).status, 200);
    t.equal((await call('PATCH', path, { description: 'stale' }, { 'if-match': etag })).status, 412);
  });

  t.test('tokens, roles and bindings come in pages', async (t) => {
    for (const path of ['/v1/tokens', '/v1/access/roles', '/v1/access/bindings']) {
      const { body: whole } = await admin<List<{ name?: string; id?: string }>>('GET', `${path}?limit=200`);
      t.equal(whole.next_cursor, null);
      const items = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
        const { body }: { body: List<object> } = await admin<List<object>>('GET', `${path}?limit=3${query}`);
        t.ok(body.items.length > 0 && body.items.length <= 3);
        items.push(...body.items);
        cursor = body.next_cursor;
      }
      t.same(items, whole.items, path);
      for (const place of ['x', `${path.split('/').at(-1)}\n\0`]) {
        const cursor = Buffer.from(place).toString('base64url');
        t.equal((await admin('GET', `${path}?cursor=${cursor}`)).status, 400, `${path} ${place}`);
      }
    }
  });

  t.test('nobody gives more than they have', async (t) => {
    await admin('PUT', '/v1/access/roles/gatekeeper', { permissions: ['access:write', 'tokens:write', 'keys:read'] });
    const { token: gate, name } = await addToken(admin, { role: 'gatekeeper' });
    const gatekeeper = callerWith(url, gate);
    const before = await standing();
    for (const [method, path, body] of [
      ['POST', '/v1/tokens', { name: 'mine', role: 'admin' }],
      ['POST', '/v1/tokens', { name: 'mine', role: 'viewer' }],
      ['POST', '/v1/access/bindings', { role: 'admin', subject: { token: name } }],
      ['PUT', '/v1/access/roles/gatekeeper', { permissions: ['keys:delete'] }],
    ] as const) {
      t.equal((await gatekeeper(method, path, body)).status, 403, `${method} ${path}`);
    }
    t.same(await standing(), before);
    t.equal((await admin('PUT', '/v1/access/roles/admin', { permissions: [] })).status, 409, 'built in');
    t.equal((await admin('DELETE', '/v1/access/roles/gatekeeper')).status, 409, 'in use');
    const later = { role: 'admin', subject: { token: 'not-yet-made' } };
    t.equal((await admin('POST', '/v1/access/bindings', later)).status, 422, 'not to a token that is yet to be made');
    const { body: binding } = await admin<{ id: string }>('POST', '/v1/access/bindings', {
      role: 'viewer',
      subject: { token: name },
    });
    t.ok(
      (await gatekeeper<{ permissions: string[] }>('GET', '/v1/access/me')).body.permissions.includes('events:read'),
    );
    await admin('DELETE', `/v1/access/bindings/${binding.id}`);
    t.notOk(
      (await gatekeeper<{ permissions: string[] }>('GET', '/v1/access/me')).body.permissions.includes('events:read'),
    );
  });

  t.test('somebody keeps the right to give rights, and of two who take it from each other one', async (t) => {
    await admin('PUT', '/v1/access/roles/keeper', { permissions: ['access:write', 'tokens:write'] });
    const [first, second] = [await addToken(admin, { role: 'keeper' }), await addToken(admin, { role: 'keeper' })];
    await addToken(admin, { role: 'keeper', tags: { team: 'payments' } });
    const late = await addToken(admin, { role: 'keeper' });
    await services.database.pool.query('UPDATE api_tokens SET expires_at = now() WHERE id = $1', [late.id]);
    type Bindings = { items: { id: string; subject: { token?: string } }[] };
    const { body } = await admin<Bindings>('GET', '/v1/access/bindings?limit=200');
    const kept = new Set([first.name, second.name, late.name]);
    for (const { id, subject } of body.items) {
      if (kept.has(subject.token ?? '')) continue;
      t.equal((await callerWith(url, first.token)('DELETE', `/v1/access/bindings/${id}`)).status, 204);
    }
    const revoked = await Promise.all([
      callerWith(url, first.token)<Problem>('DELETE', `/v1/tokens/${second.id}`),
      callerWith(url, second.token)<Problem>('DELETE', `/v1/tokens/${first.id}`),
    ]);
    t.same(revoked.map(({ status }) => status).sort(), [204, 409]);
    const left = revoked[0]?.status === 204 ? first : second;
    const last = callerWith(url, left.token);
    t.match(revoked.find(({ status }) => status === 409)?.body, { detail: /npm run tokens/ });
    const { body: me } = await last<{ bindings: { id: string }[] }>('GET', '/v1/access/me');
    t.equal((await last('DELETE', `/v1/access/bindings/${me.bindings[0]?.id}`)).status, 409);
    t.equal((await last('DELETE', `/v1/tokens/${left.id}`)).status, 409);
    t.equal((await last('PUT', '/v1/access/roles/keeper', { permissions: ['tokens:write'] })).status, 409);
    t.equal((await last('PUT', '/v1/access/roles/keeper', { permissions: ['access:write'] })).status, 200);
  });
});
