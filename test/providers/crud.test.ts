import { test } from 'tap';
import type { Provider } from '../../src/schemas/provider.ts';
import { type Problem, startService } from '../support/service.ts';

const path = '/v1/providers';
const merge = { 'content-type': 'application/merge-patch+json' };

test('providers: made, read, changed and deleted', async (t) => {
  const { call } = await startService(t, { AWS_REGION: 'eu-west-3', REFRESH_INTERVAL_SECONDS: '900' });
  const standard = {
    endpoint: null,
    assume_role: null,
    allowed_account_ids: [],
    default_tags: {},
    ignore_tags: { keys: [], key_prefixes: [] },
    drift_policy: 'enforce',
    refresh_interval_seconds: 600,
    quotas: null,
    progress: { keys_total: 0, keys_in_sync: 0, keys_pending: 0, started_at: null, expected_until: null },
  };
  const full = {
    name: 'payments-prod',
    region: 'eu-central-1',
    endpoint: 'https://kms.eu-central-1.amazonaws.com',
    assume_role: { role_arn: 'arn:aws:iam::444455556666:role/keyward', external_id: 'x-1', session_name: 'portal' },
    allowed_account_ids: ['444455556666'],
    default_tags: { env: 'prod' },
    ignore_tags: { keys: ['scanned'], key_prefixes: ['backup:'] },
    drift_policy: 'report',
    refresh_interval_seconds: 60,
    quotas: { requests_per_second: { CreateKey: 20, TagResource: 12.5 }, settle_seconds: 30 },
  };

  t.test('there is one from the first start on, made from the environment', async (t) => {
    const { status, body } = await call<Provider>('GET', `${path}/default`);
    t.equal(status, 200);
    t.match(body, { ...standard, name: 'default', region: 'eu-west-3', refresh_interval_seconds: 900 });
    const answer = await call<Problem>('DELETE', `${path}/default`);
    t.equal(answer.status, 409, 'keys that name none are in it');
  });

  t.test('POST with the least, and with everything', async (t) => {
    const least = await call<Provider>('POST', path, { name: 'a', region: 'us-west-2' });
    t.match(least, { status: 201, body: { ...standard, name: 'a', region: 'us-west-2' } });
    t.equal(least.headers.get('location'), `${path}/a`);
    t.match(least.headers.get('etag'), /^"1\.[\w-]{11}"$/);
    const most = await call<Provider>('POST', path, full);
    const { external_id: secret, ...role } = full.assume_role;
    t.match(most, { status: 201, body: { ...full, assume_role: role } });
    t.notMatch(JSON.stringify(most.body), secret, 'an external id is written only');
    t.notMatch(JSON.stringify((await call('GET', '/v1/events')).body), secret, 'and no event tells it');
    t.strictSame((await call('GET', `${path}/payments-prod`)).body, most.body);
    t.equal((await call('POST', path, full)).status, 409, 'a name is given once');
  });

  t.test('null stands for the default', async (t) => {
    const nulls = { endpoint: null, assume_role: null, allowed_account_ids: null, default_tags: null };
    const rest = { ignore_tags: null, drift_policy: null, refresh_interval_seconds: null, quotas: null };
    const { status, body } = await call<Provider>('POST', path, {
      name: 'nulls',
      region: 'us-west-2',
      ...nulls,
      ...rest,
    });
    t.match({ status, body }, { status: 201, body: standard });
    t.equal((await call('DELETE', `${path}/nulls`)).status, 204);
    t.equal((await call('GET', `${path}/nulls`)).status, 404);
  });

  t.test('everything that is wrong comes back at once', async (t) => {
    const tags = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`t${index}`, '']));
    for (const [body, ...pointers] of [
      [{}, '/name', '/region'],
      [{ name: 'a b', region: 'mars', x: 1 }, '/x', '/name', '/region'],
      [
        { name: 'x', region: 'us-west-2', default_tags: { 'aws:a': '', 'keyward:id': '' } },
        '/default_tags/aws:a',
        '/default_tags/keyward:id',
      ],
      [{ name: 'x', region: 'us-west-2', default_tags: tags }, '/default_tags'],
      [
        { name: 'x', region: 'us-west-2', default_tags: { a: 1 }, drift_policy: 'no' },
        '/drift_policy',
        '/default_tags/a',
      ],
      [
        { name: 'x', region: 'us-west-2', assume_role: { external_id: 'a b' } },
        '/assume_role/role_arn',
        '/assume_role/external_id',
      ],
      ...['path/', '/', `path/${'x'.repeat(65)}`].map(
        (role) =>
          [
            { name: 'x', region: 'us-west-2', assume_role: { role_arn: `arn:aws:iam::111122223333:role/${role}` } },
            '/assume_role/role_arn',
          ] as const,
      ),
      [
        { name: 'x', region: 'us-west-2', allowed_account_ids: ['12'], endpoint: 'ftp://x' },
        '/endpoint',
        '/allowed_account_ids/0',
      ],
      [
        { name: 'x', region: 'us-west-2', refresh_interval_seconds: 0, ignore_tags: { names: [] } },
        '/ignore_tags/names',
        '/refresh_interval_seconds',
      ],
      [{ name: 'x', region: 'us-west-2', quotas: 'azure' }, '/quotas'],
      [{ name: 'x', region: 'us-west-2', quotas: 5 }, '/quotas'],
      [
        { name: 'x', region: 'us-west-2', quotas: { requests_per_second: { CreateKey: 0, MakeKey: 1 }, share: 1 } },
        '/quotas/requests_per_second/CreateKey',
        '/quotas/requests_per_second/MakeKey',
        '/quotas/share',
      ],
      [{ name: 'x', region: 'us-west-2', quotas: { settle_seconds: 3601 } }, '/quotas/settle_seconds'],
    ] as [object, ...string[]][]) {
      const answer = await call<Problem>('POST', path, body);
      t.equal(answer.status, 422, JSON.stringify(body));
      t.same(answer.body.errors?.map(({ pointer }) => pointer).sort(), pointers.sort(), JSON.stringify(answer.body));
    }
    t.equal((await call('POST', path, '[]')).status, 422);
    t.equal((await call('POST', path, '{')).status, 400);
    t.equal((await call('POST', path, 'x', { 'content-type': 'text/plain' })).status, 415);
  });

  t.test('PATCH replaces each field whole and merges default tags, and If-Match is honoured', async (t) => {
    const changed = await call<Provider>(
      'PATCH',
      `${path}/payments-prod`,
      { default_tags: { env: null, team: 'a' }, ignore_tags: { keys: ['seen'] }, drift_policy: null },
      { ...merge, 'if-match': '"1"' },
    );
    t.match(changed, {
      status: 200,
      body: {
        ...full,
        assume_role: { role_arn: full.assume_role.role_arn, session_name: 'portal' },
        default_tags: { team: 'a' },
        drift_policy: 'enforce',
        ignore_tags: { keys: ['seen'], key_prefixes: [] },
      },
    });
    t.match(changed.headers.get('etag'), /^"2\./);
    t.equal((await call('PATCH', `${path}/payments-prod`, { endpoint: null }, { 'if-match': '"1"' })).status, 412);
    const same = await call<Provider>('PATCH', `${path}/payments-prod`, {});
    t.equal(same.headers.get('etag'), changed.headers.get('etag'), 'nothing was changed');
    t.equal((await call('PATCH', `${path}/nobody`, {})).status, 404);
    t.equal((await call('PATCH', `${path}/payments-prod`, { name: 'new' })).status, 422);
    t.equal((await call('PATCH', `${path}/payments-prod`, { region: null })).status, 422);
    for (const name of ['a', 'payments-prod']) {
      const alone = await call<Problem>('PATCH', `${path}/${name}`, { assume_role: { external_id: 'xx' } });
      const pointers = alone.body.errors?.map(({ pointer }) => pointer);
      t.same(pointers, ['/assume_role/role_arn'], 'a role is one value');
    }
  });

  t.test('each change is an event, with before and after', async (t) => {
    const { body } = await call<{ items: { type: string; key: null; before: object; after: object; actor: string }[] }>(
      'GET',
      '/v1/events?provider=payments-prod',
    );
    t.match(body.items, [
      {
        type: 'provider.updated',
        key: null,
        before: { default_tags: { env: 'prod' } },
        after: { default_tags: { team: 'a' } },
      },
      { type: 'provider.created', key: null, after: { region: 'eu-central-1' } },
    ]);
    t.match(body.items[0], { request_id: /./, actor: 'anonymous', origin: 'api' });
  });

  t.test('a new role takes neither the session name nor, unsaid, the external id of the one before', async (t) => {
    const patch = (assume_role: object) =>
      call<Provider & Problem>('PATCH', `${path}/payments-prod`, { assume_role }, merge);
    const role_arn = 'arn:aws:iam::444455556666:role/other';
    const unsaid = await patch({ role_arn });
    t.match(unsaid, { status: 422, body: { errors: [{ pointer: '/assume_role/external_id' }] } });
    const without = await patch({ role_arn, external_id: null });
    t.same([without.status, without.body.assume_role], [200, { role_arn, session_name: null }]);
    t.equal((await patch({ role_arn })).status, 200, 'there is none to lose');
    t.equal((await patch(full.assume_role)).status, 200);
  });

  t.test('a list by name, in pages', async (t) => {
    const first = await call<{ items: Provider[]; next_cursor: string | null }>('GET', `${path}?limit=2`);
    t.same(
      first.body.items.map(({ name }) => name),
      ['a', 'default'],
    );
    const second = await call<{ items: Provider[]; next_cursor: string | null }>(
      'GET',
      `${path}?cursor=${first.body.next_cursor}`,
    );
    t.match(second.body, { items: [{ name: 'payments-prod' }], next_cursor: null });
    for (const cursor of ['', 'nonsense', '%00'])
      t.equal((await call('GET', `${path}?cursor=${cursor}`)).status, 400, cursor);
    for (const name of ['no', '%00', 'a%2Fb', 'x'.repeat(300)])
      t.equal((await call('GET', `${path}/${name}`)).status, 404, name);
  });

  t.test('a provider with keys stays, and stays in its Region', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { provider: 'a', deletion_window_in_days: 7 });
    t.match(key.arn, /:us-west-2:/);
    t.equal(key.provider, 'a');
    t.match((await call<Problem>('DELETE', `${path}/a`)).body, { status: 409, detail: /has a key/ });
    t.match((await call<Problem>('PATCH', `${path}/a`, { region: 'us-east-1' })).body, {
      status: 409,
      detail: /Region/,
    });
    t.equal((await call('POST', `/v1/keys/${key.id}/release`)).status, 204);
    t.equal((await call('PATCH', `${path}/a`, { region: 'us-east-1' })).status, 200);
    t.equal((await call('DELETE', `${path}/a`)).status, 204);
    const answer = await call<Problem>('POST', '/v1/keys', { provider: 'a', description: 1 });
    t.same(answer.body.errors?.map(({ pointer }) => pointer).sort(), ['/description', '/provider']);
    t.equal((await call('GET', '/v1/unmanaged-keys?provider=a')).status, 404);
  });

  t.test('a repeat with an Idempotency-Key is answered the same', async (t) => {
    const headers = { 'idempotency-key': 'one' };
    const first = await call('POST', path, { name: 'once', region: 'us-east-2' }, headers);
    const second = await call('POST', path, { name: 'once', region: 'us-east-2' }, headers);
    t.equal(first.status, 201);
    t.equal(second.status, 201);
    t.equal(second.headers.get('idempotent-replayed'), 'true');
  });

  t.test('new keys take the drift policy of their provider, and PATCH null goes back to it', async (t) => {
    await call('POST', path, { name: 'watch', region: 'us-east-2', drift_policy: 'report' });
    const { body: key } = await call('POST', '/v1/keys', { provider: 'watch' });
    t.equal(key.drift_policy, 'report');
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, { drift_policy: 'adopt' })).body.drift_policy, 'adopt');
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, { drift_policy: null })).body.drift_policy, 'report');
  });
});
