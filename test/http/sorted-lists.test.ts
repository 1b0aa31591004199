import { randomUUID } from 'node:crypto';
import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { type Problem, startService } from '../support/service.ts';

type Page = { items: Key[]; next_cursor: string | null };

const sorts = ['created_at', 'updated_at', 'description', 'state'].flatMap((name) => [name, `-${name}`]);

test('sorted and searched lists, and the look-up of one key', async (t) => {
  const { call } = await startService(t);
  const create = async (body: object) => (await call('POST', '/v1/keys', body)).body;
  const list = async (query: string) => {
    const { status, body } = await call<Page>('GET', `/v1/keys?${query}`);
    t.equal(status, 200, query);
    return body.items;
  };
  const long = 'z'.repeat(150);
  const stable = [
    await create({ description: 'Payments 100%', tags: { team: 'Cards', 'cost:center': 'x_1' } }),
    await create({ description: 'beta', tags: { team: 'ops' } }),
    await create({ description: 'Alpha', drift_policy: 'report' }),
    await create({ description: `${long}1` }),
    await create({ description: `${long}0` }),
    await create({ description: 'Überall 🗝️' }),
    await create({ description: '' }),
  ];
  // An id of one's own says nothing of when its key was made.
  stable.push((await call('PUT', '/v1/keys/00000000-0000-4000-8000-000000000000', { description: 'own' })).body);
  const doomed = await create({ description: 'doomed' });
  stable.push((await call('DELETE', `/v1/keys/${doomed.id}`)).body);
  const inOrder = [...stable];
  const descriptions = (keys: Key[]) => keys.map(({ description }) => description.slice(0, 12));

  t.test('each order is the right one, and its reverse the reverse', async (t) => {
    t.same(descriptions(await list('')), descriptions(inOrder.toReversed()), 'newest first');
    t.same(descriptions(await list('sort=created_at')), descriptions(inOrder));
    t.same(
      descriptions(await list('sort=description')).filter((text) => !text.startsWith('zzz')),
      ['', 'Alpha', 'beta', 'doomed', 'own', 'Payments 100', 'Überall 🗝️'],
      'in either case',
    );
    t.match((await list('sort=-state'))[0], { status: { state: 'pending_deletion' } });
    await call('PATCH', `/v1/keys/${stable[1]?.id}`, { tags: { team: 'ops2' } });
    t.match((await list('sort=-updated_at'))[0], { id: stable[1]?.id });
    for (const sort of sorts) {
      const other = sort.startsWith('-') ? sort.slice(1) : `-${sort}`;
      t.same(
        (await list(`sort=${sort}`)).map(({ id }) => id),
        (await list(`sort=${other}`)).map(({ id }) => id).toReversed(),
        sort,
      );
    }
    for (const bad of ['sort=colour', 'sort=', 'sort=--state', 'sort=state&sort=created_at']) {
      t.equal((await call('GET', `/v1/keys?${bad}`)).status, 400, bad);
    }
  });

  t.test('a cursor is good for the order that gave it alone', async (t) => {
    const { body } = await call<Page>('GET', '/v1/keys?limit=2&sort=description');
    for (const sort of ['-description', 'state', '-created_at']) {
      const answer = await call<Problem>('GET', `/v1/keys?limit=2&sort=${sort}&cursor=${body.next_cursor}`);
      t.equal(answer.status, 400, sort);
      t.match(answer.body.errors, [{ parameter: 'cursor' }]);
    }
    const forged = (place: string) => Buffer.from(`keys by description\n${place}`).toString('base64url');
    for (const place of ['x', `${stable[0]?.id}`, `${stable[0]?.id} \0`]) {
      t.equal((await call('GET', `/v1/keys?sort=description&cursor=${forged(place)}`)).status, 400, place);
    }
    const at = (time: string) => {
      const cursor = Buffer.from(`keys by created_at\n${stable[0]?.id} ${time}`).toString('base64url');
      return call('GET', `/v1/keys?sort=created_at&cursor=${cursor}`);
    };
    t.equal((await at('99999999999999')).status, 200, 'the last time that there is');
    for (const time of ['999999999999999', '-1', '', '1.5']) t.equal((await at(time)).status, 400, time);
  });

  t.test(
    'q finds text in description, tags, ARN and key id, in either case, and takes wildcards for letters',
    async (t) => {
      const [first] = stable;
      for (const [q, wanted] of [
        ['PAYMENTS', 1],
        ['100%', 1],
        ['0%%', 0],
        ['x_1', 1],
        ['x__', 0],
        ['\\', 0],
        ['cards', 1],
        ['COST:', 1],
        ['Überall', 1],
        [first?.key_id?.slice(3, 20) ?? '', 1],
        [first?.arn ?? '', 1],
        ["' OR true --", 0],
        [`payments\n${first?.arn}`, 0],
        ['\n', 0],
        ['', stable.length],
      ] as const) {
        t.equal((await list(`q=${encodeURIComponent(q)}`)).length, wanted, q);
      }
      t.equal((await call<{ total: number }>('GET', '/v1/keys/summary?q=payments')).body.total, 1);
      t.equal((await call('GET', `/v1/keys?q=${'x'.repeat(257)}`)).status, 400);
    },
  );

  t.test(
    'while 4 writers create and delete at random, each of 100 walks meets each key that stays exactly once',
    async (t) => {
      let isOver = false;
      const any = <Item>(items: readonly Item[]) => items[Math.floor(Math.random() * items.length)] as Item;
      const writer = async () => {
        const own: string[] = [];
        for (let round = 0; !isOver && round < 2000; round += 1) {
          const [id, act] = [
            any(own),
            own.length < 3 ? 'create' : any(['create', 'change', 'delete', 'release', 'release']),
          ];
          if (act === 'create') {
            const description = any(['alpha', 'Alphb', 'p', 'payments', '', long]);
            own.push((await create({ description, tags: { team: any(['Cards', 'ops', 'none']) } })).id);
          }
          if (act === 'change') await call('PATCH', `/v1/keys/${id}`, { description: any(['a', 'beta', 'zz']) });
          if (act === 'delete') await call('DELETE', `/v1/keys/${id}`);
          if (act === 'release') await call('POST', `/v1/keys/${own.splice(own.indexOf(id), 1)[0]}/release`);
        }
      };
      const writers = [writer(), writer(), writer(), writer()];
      const walk = async (query: string) => {
        const seen: string[] = [];
        let cursor = '';
        for (let pages = 0; pages < 200; pages += 1) {
          const { body } = await call<Page>('GET', `/v1/keys?fields=id&${query}${cursor}`);
          seen.push(...body.items.map(({ id }) => id));
          if (body.next_cursor === null) return seen;
          cursor = `&cursor=${body.next_cursor}`;
        }
        throw new Error('endless');
      };
      const [cards, ops] = [stable.slice(0, 1), stable.slice(1, 2)];
      const filters: [query: string, kept: Key[]][] = [
        ['', stable],
        ['state=in_sync&state=pending_deletion', stable],
        ['q=1', stable],
        ['tag=team:Cards', cards],
        ['tag=team&is_enabled=true', [...cards, ...ops]],
        ['q=ops', ops],
        ['deletion_protection=false&created_since=2020-01-01T00:00:00Z', stable],
      ];
      try {
        for (let walks = 0; walks < 100; walks += 1) {
          const [sort, [filter, kept]] = [sorts[walks % sorts.length], filters[walks % filters.length] ?? ['', stable]];
          const seen = await walk(`limit=${1 + (walks % 5) * 2}&sort=${sort}&${filter}`);
          const ids = kept.map(({ id }) => id).sort();
          t.same(seen.filter((id) => ids.includes(id)).sort(), ids, `${sort} ${filter}`);
          if (sort?.endsWith('created_at')) t.equal(new Set(seen).size, seen.length, `${sort} ${filter}: none twice`);
        }
      } finally {
        isOver = true;
        await Promise.all(writers);
      }
    },
  );

  t.test('GET /v1/keys/lookup by id, key id and ARN', async (t) => {
    const [first] = stable;
    const look = (key: string, headers = {}) =>
      call<Key & Problem>('GET', `/v1/keys/lookup?key=${encodeURIComponent(key)}`, undefined, headers);
    const { body: shown, headers } = await call('GET', `/v1/keys/${first?.id}`);
    for (const key of [first?.id, first?.id.toUpperCase(), first?.key_id, first?.arn]) {
      const answer = await look(key ?? '');
      t.equal(answer.status, 200, `${key}`);
      t.same(answer.body, shown);
      t.equal(answer.headers.get('etag'), headers.get('etag'));
    }
    t.equal((await look(first?.arn ?? '', { 'if-none-match': headers.get('etag') ?? '' })).status, 304);
    for (const key of [randomUUID(), `${first?.arn}0`]) t.equal((await look(key)).status, 404, key);
    for (const query of ['', '?key=', '?key=%00', '?key=a&id=b']) {
      t.equal((await call('GET', `/v1/keys/lookup${query}`)).status, 400, query);
    }
  });
});
