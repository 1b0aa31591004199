import { get } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import type { KeySummary } from '../../src/schemas/key-list.ts';
import { type Problem, startService } from '../support/service.ts';

type Page = { items: Key[]; next_cursor: string | null };

test('what a portal needs of lists', async (t) => {
  const { url, call } = await startService(t);
  const create = async (body: object) => (await call('POST', '/v1/keys', body)).body;
  const plain = await create({ description: 'plain' });
  const watched = await create({ description: 'watched', drift_policy: 'report', tags: { team: 'a' } });
  const guarded = await create({
    description: 'guarded',
    deletion_protection: true,
    key_usage: 'SIGN_VERIFY',
    customer_master_key_spec: 'RSA_2048',
  });
  const doomed = await create({ description: 'doomed' });
  await call('DELETE', `/v1/keys/${doomed.id}`);
  const found = async (query: string) => {
    const { status, body } = await call<Page>('GET', `/v1/keys?${query}`);
    t.equal(status, 200, query);
    return body.items.map(({ description }) => description).join();
  };

  t.test('filters: several states, drift_policy, deletion_protection, times', async (t) => {
    for (const [query, wanted] of [
      ['state=in_sync&state=pending_deletion', 'doomed,guarded,watched,plain'],
      ['state=pending_deletion', 'doomed'],
      ['drift_policy=report', 'watched'],
      ['drift_policy=adopt', ''],
      ['deletion_protection=true', 'guarded'],
      ['deletion_protection=false&state=in_sync', 'watched,plain'],
      [`created_since=${guarded.created_at}`, 'doomed,guarded'],
      [`updated_since=${(await call('GET', `/v1/keys/${doomed.id}`)).body.updated_at}`, 'doomed'],
      ['updated_since=2999-01-01T00:00:00Z', ''],
    ] as const) {
      t.equal(await found(query), wanted, query);
    }
    for (const query of [
      'state=in_sync&state=x',
      'drift_policy=x',
      'updated_since=yesterday',
      'deletion_protection=1',
    ]) {
      t.equal((await call('GET', `/v1/keys?${query}`)).status, 400, query);
    }
  });

  t.test('each item has the ETag of its key, which is good for If-Match', async (t) => {
    const { body } = await call<Page>('GET', '/v1/keys');
    const item = body.items.find(({ id }) => id === plain.id);
    t.equal(item?.etag, (await call('GET', `/v1/keys/${plain.id}`)).headers.get('etag'));
    const headers = { 'if-match': item?.etag ?? '' };
    t.equal((await call('PATCH', `/v1/keys/${plain.id}`, { tags: { b: '1' } }, headers)).status, 200);
    t.equal((await call('PATCH', `/v1/keys/${plain.id}`, { tags: { b: '2' } }, headers)).status, 412);
  });

  t.test('the summary counts what the list shows, with its filters', async (t) => {
    const { status, body } = await call<KeySummary>('GET', '/v1/keys/summary');
    t.equal(status, 200);
    t.same(body, {
      total: 4,
      by_state: { in_sync: 3, pending_deletion: 1 },
      by_provider: { default: 4 },
      by_key_usage: { ENCRYPT_DECRYPT: 3, SIGN_VERIFY: 1 },
      by_customer_master_key_spec: { SYMMETRIC_DEFAULT: 3, RSA_2048: 1 },
    });
    const filtered = await call<KeySummary>('GET', '/v1/keys/summary?tag=team:a&state=in_sync');
    t.match(filtered.body, { total: 1, by_state: { in_sync: 1 } });
    t.match((await call<KeySummary>('GET', '/v1/keys/summary?provider=none')).body, { total: 0, by_state: {} });
    t.equal((await call('GET', '/v1/keys/summary?limit=1')).status, 400, 'it has no pages');
    t.equal((await call('DELETE', '/v1/keys/summary')).headers.get('allow'), 'GET, HEAD, OPTIONS');
  });

  t.test('lists have an ETag, and are 304 until something changes', async (t) => {
    for (const list of ['keys', 'keys/summary', 'providers', 'events', `keys/${watched.id}/revisions`]) {
      const first = await call('GET', `/v1/${list}`);
      const headers = { 'if-none-match': first.headers.get('etag') ?? '' };
      t.match(headers['if-none-match'], /^W\/"[\w-]{22}"$/, list);
      const again = await call('GET', `/v1/${list}`, undefined, headers);
      t.same([again.status, again.body as unknown], [304, ''], list);
      t.equal((await call('HEAD', `/v1/${list}`)).headers.get('etag'), headers['if-none-match']);
    }
    const { headers } = await call('GET', '/v1/keys');
    await call('PATCH', `/v1/keys/${watched.id}`, { tags: { team: 'b' } });
    const changed = await call('GET', '/v1/keys', undefined, { 'if-none-match': headers.get('etag') ?? '' });
    t.equal(changed.status, 200);
  });

  t.test('`fields` asks for some of the fields of keys', async (t) => {
    const ask = async (path: string) => {
      const { headers, body } = await call<Page>('GET', path);
      t.match(headers.get('content-type'), /^application\/vnd\.keyward\.partial\+json/, path);
      return body;
    };
    const [whole] = (await call<Page>('GET', '/v1/keys?limit=1')).body.items;
    const page = await ask('/v1/keys?limit=1&fields=status,id,etag');
    t.same(page.items, [{ id: whole?.id, status: whole?.status, etag: whole?.etag }]);
    t.ok(page.next_cursor, 'pages go on');
    const one = await ask(`/v1/keys/${plain.id}?fields=id&fields=tags`);
    t.same(one, { id: plain.id, tags: { b: '1' } });
    const { body: told } = await call('GET', `/v1/keys/${plain.id}?fields=etag`);
    t.match(told, { etag: /^"\d+\.\d+"$/ }, 'also what the whole answer has in a header');
    const { body: allowed } = await call<{ items: Key[] }>('GET', '/v1/keys?limit=1&fields=allowed_actions');
    t.ok(allowed.items[0]?.allowed_actions?.includes('keys:update'), 'and what a list has not');
    const answer = await call('GET', `/v1/keys/${plain.id}?fields=id,allowed_actions,updated_at`);
    t.ok(answer.body.allowed_actions?.length);
    t.equal(answer.headers.get('etag'), (await call('GET', `/v1/keys/${plain.id}`)).headers.get('etag'));
    for (const [bad, code] of [
      ['id,colour', 'invalid_value'],
      ['', 'invalid_value'],
      ['status.state', 'invalid_value'],
      ['id,', 'invalid_value'],
    ] as const) {
      for (const path of ['/v1/keys', `/v1/keys/${plain.id}`]) {
        const { status, body } = await call<Problem>('GET', `${path}?fields=${bad}`);
        t.equal(status, 400, bad);
        t.match(body.errors, [{ parameter: 'fields', code }]);
      }
    }
  });

  t.test('a provider is 304 until something of it changes, be it how many keys it has', async (t) => {
    const first = await call('GET', '/v1/providers/default');
    const tag = first.headers.get('etag') ?? '';
    const again = await call('GET', '/v1/providers/default', undefined, { 'if-none-match': `W/${tag}` });
    t.same([again.status, again.body as unknown, again.headers.get('etag')], [304, '', tag]);
    t.equal((await call('HEAD', '/v1/providers/default')).headers.get('etag'), tag);
    await create({ description: 'one more' });
    const more = await call('GET', '/v1/providers/default', undefined, { 'if-none-match': tag });
    t.equal(more.status, 200);
    t.not(more.headers.get('etag'), tag);
    const change = await call('PATCH', '/v1/providers/default', { drift_policy: 'enforce' }, { 'if-match': tag });
    t.equal(change.status, 200, 'what it is declared to be has not changed');
  });

  t.test('a large answer is compressed as the client likes it, and says the same', async (t) => {
    const raw = (encoding: string, path = '/v1/keys') =>
      new Promise<{ encoding: string | undefined; vary: string | undefined; etag: string | undefined; body: Buffer }>(
        (resolve, reject) => {
          get(`${url}${path}`, { headers: { 'accept-encoding': encoding } }, async (answer) => {
            const { 'content-encoding': told, vary, etag } = answer.headers;
            resolve({ encoding: told, vary, etag, body: await buffer(answer) });
          }).on('error', reject);
        },
      );
    const plainly = await raw('identity');
    t.equal(plainly.encoding, undefined);
    for (const [accepted, encoding, read] of [
      ['gzip', 'gzip', gunzipSync],
      ['gzip, br', 'br', brotliDecompressSync],
    ] as const) {
      const answer = await raw(accepted);
      t.equal(answer.encoding, encoding);
      t.match(answer.vary, /accept-encoding/i);
      t.equal(answer.etag, plainly.etag);
      t.ok(answer.body.length < plainly.body.length / 2);
      t.equal(read(answer.body).toString(), plainly.body.toString());
    }
    const current = await call('GET', '/v1/keys', undefined, { 'if-none-match': plainly.etag ?? '' });
    t.equal(current.status, 304);
    t.match(current.headers.get('vary'), /accept-encoding/i);
    t.match(plainly.vary, /accept-encoding/i);
    t.equal((await raw('gzip', '/docs/scalar.js')).encoding, 'gzip');
    t.equal((await raw('gzip;q=0', '/docs/scalar.js')).encoding, undefined);
  });

  t.test('what has a strong ETag is sent in the same bytes to all', async (t) => {
    const { body: key } = await call('POST', '/v1/keys', { description: 'd'.repeat(4000) });
    const { headers } = await call('GET', `/v1/keys/${key.id}`, undefined, { 'accept-encoding': 'gzip, br' });
    t.equal(headers.get('content-encoding'), null);
    t.match(headers.get('etag'), /^"/);
    await call('DELETE', `/v1/keys/${key.id}`);
  });
});
