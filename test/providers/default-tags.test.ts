import { CreateKeyCommand, type KMSClient, TagResourceCommand, UntagResourceCommand } from '@aws-sdk/client-kms';
import fc from 'fast-check';
import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { metadata, tags as tagsInKms } from '../support/kms-truth.ts';
import { addProvider, changeProvider } from '../support/providers.ts';
import { type Call, eventually, type Problem, startService } from '../support/service.ts';

type Tags = Record<string, string>;

/** What KMS holds, less the ownership tag, whose value must be the key's id. */
async function held(kms: KMSClient, key: Key): Promise<Tags> {
  const { 'keyward:id': owner, ...rest } = await tagsInKms(kms, key.key_id ?? '');
  if (owner !== key.id) throw new Error(`The ownership tag says ${owner}`);
  return rest;
}

const get = async (call: Call, key: Pick<Key, 'id'>) => (await call('GET', `/v1/keys/${key.id}`)).body;

async function inSync(call: Call, key: Pick<Key, 'id'>): Promise<Key> {
  return eventually(`${key.id} is in sync`, async () => {
    const now = await get(call, key);
    return now.status.state === 'in_sync' ? now : undefined;
  });
}

/** By rows of the truth table: the default tags, the key's own, what is ignored, and what KMS is to hold. */
const rows: { name: string; defaults: Tags; own: Tags; ignored?: string[]; all: Tags }[] = [
  { name: 'neither', defaults: {}, own: {}, all: {} },
  { name: 'default only', defaults: { env: 'prod' }, own: {}, all: { env: 'prod' } },
  { name: 'own only', defaults: {}, own: { env: 'dev' }, all: { env: 'dev' } },
  { name: 'both, the same', defaults: { env: 'prod' }, own: { env: 'prod' }, all: { env: 'prod' } },
  { name: 'both, another value', defaults: { env: 'prod' }, own: { env: 'dev' }, all: { env: 'dev' } },
  { name: 'beside each other', defaults: { env: 'prod' }, own: { team: 'a' }, all: { env: 'prod', team: 'a' } },
  { name: 'an empty value wins too', defaults: { env: 'prod' }, own: { env: '' }, all: { env: '' } },
  { name: 'default ignored', defaults: { env: 'prod' }, own: {}, ignored: ['env'], all: {} },
  { name: 'own ignored', defaults: {}, own: { env: 'dev', a: '1' }, ignored: ['env'], all: { a: '1' } },
];

test('default_tags against tags: on create, on update, on import', async (t) => {
  const { call, kms } = await startService(t);
  for (const [index, { name, defaults, own, ignored = [], all }] of rows.entries()) {
    const settings = { default_tags: defaults, ignore_tags: { keys: ignored, key_prefixes: [] } };
    const provider = await addProvider(call, { name: `row-${index}`, ...settings });

    const { body: created, status } = await call('POST', '/v1/keys', { provider, tags: own });
    t.match(
      { status, tags: created.tags, tags_all: created.tags_all },
      { status: 201, tags: own, tags_all: all },
      name,
    );
    t.strictSame(await held(kms, created), all, `${name}, created`);

    const { body: bare } = await call('POST', '/v1/keys', { provider });
    const { body: updated } = await call('PATCH', `/v1/keys/${bare.id}`, { tags: own });
    t.strictSame([updated.tags, updated.tags_all], [own, all], name);
    t.strictSame(await held(kms, updated), all, `${name}, updated`);

    // What others put there and is ignored stays.
    const theirs = { ...own, ...(ignored.length > 0 ? { env: 'theirs' } : {}) };
    const Tags = Object.entries(theirs).map(([TagKey, TagValue]) => ({ TagKey, TagValue }));
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Tags }));
    const { body: imported } = await call('POST', '/v1/keys/import', { provider, key_id: KeyMetadata?.KeyId });
    t.strictSame(imported.tags_all, all, `${name}, imported`);
    t.strictSame(await held(kms, imported), theirs, 'an import changes nothing but the ownership tag');
    const missing = Object.keys(all).filter((tag) => !(tag in theirs));
    t.same(
      imported.status.drift.map(({ field }) => field),
      missing.map((tag) => `tags.${tag}`),
    );
    t.equal(imported.status.state, missing.length > 0 ? 'drifted' : 'in_sync');
    await call('POST', `/v1/keys/${imported.id}/sync`);
    t.strictSame(await held(kms, imported), { ...theirs, ...all }, `${name}, synced`);
  }
  const provider = await addProvider(call, { name: 'equal', default_tags: { env: 'prod' } });
  const { KeyMetadata } = await kms.send(
    new CreateKeyCommand({
      Tags: [
        { TagKey: 'env', TagValue: 'prod' },
        { TagKey: 'a', TagValue: '1' },
      ],
    }),
  );
  const { body } = await call('POST', '/v1/keys/import', { provider, key_id: KeyMetadata?.KeyId });
  t.strictSame(
    [body.tags, body.tags_all],
    [{ a: '1' }, { env: 'prod', a: '1' }],
    'what comes from the provider is not of the key itself',
  );
});

test('default_tags changed later, on the keys that there are', async (t) => {
  const { call, kms, control } = await startService(t, { REFRESH_INTERVAL_SECONDS: '600' });
  const provider = await addProvider(call, { name: 'later', default_tags: { env: 'prod', cost: '1' } });
  const keys: Record<string, Key> = {};
  for (const [name, body] of Object.entries({
    plain: {},
    same: { tags: { env: 'prod' } },
    other: { tags: { env: 'dev' } },
    reported: { drift_policy: 'report' },
    adopting: { drift_policy: 'adopt' },
    disabled: { is_enabled: false },
  })) {
    keys[name] = (await call('POST', '/v1/keys', { provider, ...body })).body;
  }
  const { body: doomed } = await call('POST', '/v1/keys', { provider });
  await call('DELETE', `/v1/keys/${doomed.id}`);
  const all = async () => {
    const entries = Object.entries(keys).map(async ([name, key]) => [name, await held(kms, key)]);
    return Object.fromEntries(await Promise.all(entries)) as Record<string, Tags>;
  };
  const everywhere = (tags: Tags, but: Record<string, Tags> = {}) => ({
    ...Object.fromEntries(Object.keys(keys).map((name) => [name, tags])),
    ...but,
  });

  t.test('changed: own tags win, and each key whose tags change is told once', async (t) => {
    await control.clear();
    const { body: accepted } = await call('PATCH', '/v1/providers/later', { default_tags: { env: 'test' } });
    t.match(accepted, { progress: { keys_total: 6, keys_pending: 4 } });
    const done = await changeProvider(call, 'later', {});
    t.match(done.progress, { keys_total: 6, keys_in_sync: 6, keys_pending: 0, started_at: /T/, expected_until: null });
    const expected = everywhere(
      { env: 'test', cost: '1' },
      { same: { env: 'prod', cost: '1' }, other: { env: 'dev', cost: '1' } },
    );
    t.strictSame(await all(), expected);
    t.same(
      (await control.calls()).map(({ operation }) => operation),
      Array(4).fill('TagResource'),
    );
    for (const key of Object.values(keys)) {
      const now = await get(call, key);
      t.match(now.status, { state: 'in_sync', generation: 1, synced_generation: 1, drift: [] });
      t.strictSame(now.tags_all, await held(kms, key));
    }
    const { body } = await call<{ items: { type: string; request_id: string | null; data: object }[] }>(
      'GET',
      `/v1/keys/${keys['plain']?.id}/events?type=kms.write`,
    );
    t.match(body.items[0], { request_id: null, data: { operation: 'TagResource', cause: 'provider' } });
    const drift = await call<{ items: object[] }>('GET', '/v1/events?type=drift.detected');
    t.same(drift.body.items, [], 'that is no drift');
  });

  t.test('removed: what only the provider asked for goes', async (t) => {
    await changeProvider(call, 'later', { default_tags: { env: null } });
    t.strictSame(
      await all(),
      everywhere({ cost: '1' }, { same: { env: 'prod', cost: '1' }, other: { env: 'dev', cost: '1' } }),
    );
  });

  t.test('a key whose drift is only reported gets the tags and keeps its drift', async (t) => {
    const { reported, adopting } = keys as { reported: Key; adopting: Key };
    for (const key of [reported, adopting]) {
      await kms.send(new TagResourceCommand({ KeyId: key.key_id ?? '', Tags: [{ TagKey: 'found', TagValue: 'x' }] }));
    }
    await changeProvider(call, 'later', { default_tags: { new: '1', cost: '2' } });
    t.strictSame(await held(kms, reported), { cost: '2', new: '1', found: 'x' });
    t.match((await get(call, reported)).status, { state: 'drifted', drift: [{ field: 'tags.found' }] });
    t.strictSame(await held(kms, adopting), { cost: '2', new: '1', found: 'x' });
    t.match(await inSync(call, adopting), { tags: { found: 'x' }, tags_all: { cost: '2', new: '1', found: 'x' } });
  });

  t.test('a default tag taken away outside: enforce puts it back, report and adopt show it', async (t) => {
    const { plain, reported, adopting } = keys as { plain: Key; reported: Key; adopting: Key };
    for (const key of [plain, reported, adopting]) {
      await kms.send(new UntagResourceCommand({ KeyId: key.key_id ?? '', TagKeys: ['new'] }));
      await call('POST', `/v1/keys/${key.id}/refresh`);
    }
    await inSync(call, plain);
    t.equal((await held(kms, plain))['new'], '1');
    for (const key of [reported, adopting]) {
      const now = await eventually('it is shown', async () => {
        const { status } = await get(call, key);
        return status.state === 'drifted' ? status : undefined;
      });
      t.ok(now.drift.some(({ field }) => field === 'tags.new'));
      t.notOk('new' in (await held(kms, key)));
    }
    const { body } = await call<{ items: { origin: string }[] }>('GET', `/v1/keys/${adopting.id}/revisions`);
    t.ok(body.items.length < 5, 'nothing is adopted again and again');
  });

  t.test('ignored tags are left alone, and come back when they are ignored no longer', async (t) => {
    const { plain } = keys as { plain: Key };
    await changeProvider(call, 'later', { ignore_tags: { keys: ['cost'], key_prefixes: ['other:'] } });
    t.strictSame((await get(call, plain)).tags_all, { new: '1' });
    const Tags = [
      { TagKey: 'other:a', TagValue: '1' },
      { TagKey: 'cost', TagValue: 'theirs' },
    ];
    await kms.send(new TagResourceCommand({ KeyId: plain.key_id ?? '', Tags }));
    await call('POST', `/v1/keys/${plain.id}/sync`);
    t.strictSame(await held(kms, plain), { new: '1', cost: 'theirs', 'other:a': '1' });
    t.match((await get(call, plain)).status, { state: 'in_sync', drift: [] });
    await changeProvider(call, 'later', { ignore_tags: null });
    t.strictSame(await held(kms, plain), { new: '1', cost: '2' }, 'what nobody declared is drift again');
  });

  t.test('a key pending deletion has them when it is restored', async (t) => {
    t.equal((await metadata(kms, doomed.key_id ?? '')).KeyState, 'PendingDeletion');
    const { body: restored } = await call('POST', `/v1/keys/${doomed.id}/restore`);
    t.strictSame(
      [restored.tags_all, await held(kms, restored)],
      [
        { new: '1', cost: '2' },
        { new: '1', cost: '2' },
      ],
    );
  });

  t.test('a change that gives a key too many tags is refused whole, and names each', async (t) => {
    const many = (count: number, prefix: string) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`${prefix}${n}`, '']));
    const { body: full } = await call('POST', '/v1/keys', { provider, tags: many(46, 'own') });
    const before = await call('GET', '/v1/providers/later');
    await control.clear();
    const answer = await call<Problem>('PATCH', '/v1/providers/later', { default_tags: many(3, 'more') });
    t.equal(answer.status, 422);
    t.match(answer.body.errors, [{ pointer: '/default_tags', detail: `Key ${full.id} would have 52 tags` }]);
    t.strictSame((await call('GET', '/v1/providers/later')).body, before.body);
    t.same(await control.calls(), []);
    const over = await call<Problem>('PATCH', `/v1/keys/${full.id}`, { tags: many(2, 'x') });
    t.match(over.body.errors, [{ pointer: '/tags', detail: /these are 51/ }]);
  });
});

test('changes that overtake each other and those of the keys end as the last ones say', async (t) => {
  const { call, kms } = await startService(t);
  const provider = await addProvider(call, { name: 'busy' });
  const keys = await Promise.all(
    Array.from({ length: 6 }, async () => (await call('POST', '/v1/keys', { provider, tags: { own: '0' } })).body),
  );
  const tagSet = fc.dictionary(fc.constantFrom('own', 'a', 'b', 'c'), fc.constantFrom('1', '2'), { maxKeys: 4 });
  const settings = fc.record({ default_tags: tagSet, ignored: fc.constantFrom([], ['a'], ['b', 'c']) });
  const own = fc.record({ key: fc.nat(5), tags: tagSet });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(settings, own), { minLength: 3, maxLength: 6 }), async (changes) => {
      await Promise.all(
        changes.map((change) =>
          'key' in change
            ? call('PATCH', `/v1/keys/${keys[change.key]?.id}`, { tags: null }).then(() =>
                call('PATCH', `/v1/keys/${keys[change.key]?.id}`, { tags: change.tags }),
              )
            : call('PATCH', '/v1/providers/busy', { default_tags: null, ignore_tags: null }).then(() =>
                call('PATCH', '/v1/providers/busy', {
                  default_tags: change.default_tags,
                  ignore_tags: { keys: change.ignored },
                }),
              ),
        ),
      );
      const { default_tags, ignore_tags } = await changeProvider(call, 'busy', {});
      for (const key of keys) {
        // A tag that is ignored no longer is drift like any other, if nobody declares it: found when the key is next looked at.
        await call('POST', `/v1/keys/${key.id}/sync`);
        const now = await inSync(call, key);
        const merged = Object.entries({ ...default_tags, ...now.tags }).filter(
          ([name]) => !ignore_tags.keys.includes(name),
        );
        t.strictSame(now.tags_all, Object.fromEntries(merged));
        const seen = Object.entries(await held(kms, key)).filter(([name]) => !ignore_tags.keys.includes(name));
        t.strictSame(Object.fromEntries(seen), now.tags_all);
      }
    }),
    { numRuns: 8 },
  );
});
