import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { type Problem, startService } from '../support/service.ts';

type Page = { items: Key[]; next_cursor: string | null };

test('GET /v1/keys', async (t) => {
  const { call } = await startService(t);
  const create = async (body: object) => (await call('POST', '/v1/keys', body)).body;
  const keys = [
    await create({ description: 'a', tags: { team: 'payments', env: 'prod' } }),
    await create({ description: 'b', tags: { team: 'payments', 'cost:center': '4:2' }, is_enabled: false }),
    await create({ description: 'c', multi_region: true, tags: { team: 'ops' } }),
    await create({ description: 'd', customer_master_key_spec: 'RSA_2048', key_usage: 'SIGN_VERIFY' }),
    await create({ description: 'e', tags: { 'back/slash': '' } }),
  ];
  const found = async (query: string) => {
    const { status, body } = await call<Page>('GET', `/v1/keys?${query}`);
    t.equal(status, 200, query);
    return body.items.map(({ description }) => description).join('');
  };

  t.test('newest first', async (t) => t.equal(await found(''), 'edcba'));

  t.test('by cursor, without gaps or doubles', async (t) => {
    const seen: string[] = [];
    let path: string | null = '/v1/keys?limit=2';
    for (let pages = 0; path !== null && pages < 10; pages += 1) {
      const { body }: { body: Page } = await call<Page>('GET', path);
      t.ok(body.items.length <= 2);
      seen.push(...body.items.map(({ id }) => id));
      path = body.next_cursor === null ? null : `/v1/keys?limit=2&cursor=${body.next_cursor}`;
    }
    t.same(seen, keys.map(({ id }) => id).reverse());
  });

  t.test('a page that is exactly full is the last one', async (t) => {
    const { body } = await call<Page>('GET', '/v1/keys?limit=5');
    t.equal(body.next_cursor, null);
  });

  t.test('each filter, and all together', async (t) => {
    const [first, second, third] = keys;
    const cases: [query: string, wanted: string][] = [
      ['state=in_sync', 'edcba'],
      ['state=failed', ''],
      ['key_usage=SIGN_VERIFY', 'd'],
      ['customer_master_key_spec=RSA_2048', 'd'],
      ['is_enabled=false', 'b'],
      ['is_enabled=true', 'edca'],
      ['multi_region=true', 'c'],
      ['multi_region=false', 'edba'],
      ['provider=default', 'edcba'],
      ['provider=elsewhere', ''],
      [`key_id=${first?.key_id}`, 'a'],
      [`arn=${encodeURIComponent(third?.arn ?? '')}`, 'c'],
      ['tag=team', 'cba'],
      ['tag=team:payments', 'ba'],
      ['tag=team:payments&tag=env:prod', 'a'],
      ['tag=team:payments&tag=env', 'a'],
      [`tag=${encodeURIComponent('cost\\:center')}`, 'b'],
      [`tag=${encodeURIComponent('cost\\:center:4:2')}`, 'b'],
      ['tag=cost:center', ''],
      [`tag=${encodeURIComponent('back/slash:')}`, 'e'],
      ['tag=', ''],
      ['tag=team:', ''],
      [`tag=team:payments&is_enabled=false&key_id=${second?.key_id}&state=in_sync`, 'b'],
      ["provider='; DROP TABLE keys; --", ''],
    ];
    for (const [query, wanted] of cases) t.equal(await found(query), wanted, query);
  });

  t.test('what is not understood is 400, with the name of the parameter', async (t) => {
    const cases: [query: string, parameter: string][] = [
      ['limit=0', 'limit'],
      ['limit=201', 'limit'],
      ['limit=x', 'limit'],
      ['state=lost', 'state'],
      ['key_usage=ENCRYPT', 'key_usage'],
      ['is_enabled=yes', 'is_enabled'],
      ['is_enabled=', 'is_enabled'],
      ['multi_region=1', 'multi_region'],
      ['colour=red', 'colour'],
    ];
    for (const [query, parameter] of cases) {
      const { status, body } = await call<Problem>('GET', `/v1/keys?${query}`);
      t.equal(status, 400, query);
      t.same(
        body.errors?.map(({ parameter: told }) => told),
        [parameter],
        query,
      );
    }
    for (const query of ['cursor=nonsense', 'cursor=', 'tag=%00', 'key_id=a%00b', 'arn=%00', 'provider=%00']) {
      const { status, body } = await call<Problem>('GET', `/v1/keys?${query}`);
      t.equal(status, 400, query);
      t.match(body.detail, query.slice(0, query.indexOf('=')));
    }
    t.equal((await call<Page>('GET', '/v1/keys?tag=%ff')).status < 500, true, 'no valid UTF-8');
  });

  t.test('keys pending deletion are listed, and found by their state', async (t) => {
    const doomed = await create({ description: 'f' });
    await call('DELETE', `/v1/keys/${doomed.id}`);
    t.equal(await found('state=pending_deletion'), 'f');
    t.equal(await found(''), 'fedcba');
  });
});
