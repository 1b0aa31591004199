import fc from 'fast-check';
import { test } from 'tap';
import { storableJson, storableText, unstorableText } from '../../src/domain/text.ts';
import { eventually, startService } from '../support/service.ts';

test('a key that KMS tells odd things of has that in its own status; the others of its batch are looked at', async (t) => {
  const { call, control, services } = await startService(t, { SETTLE_SECONDS: '0' });
  const create = async () => (await call('POST', '/v1/keys', { drift_policy: 'report', tags: { own: '1' } })).body;
  const [notJson, nul, half, tags, list, plain] = await Promise.all([1, 2, 3, 4, 5, 6].map(create));
  const get = async (key: typeof plain) => (await call('GET', `/v1/keys/${key?.id}`)).body;
  const odd = (key: typeof plain, operation: string, member: string, value: unknown) =>
    control.fault({ operation, kind: 'changed_field', key_id: key?.key_id, member, value, times: null });
  await odd(notJson, 'GetKeyPolicy', 'Policy', 'Allow all that is good');
  await odd(list, 'GetKeyPolicy', 'Policy', '[["Allow"]]');
  await odd(nul, 'DescribeKey', 'KeyMetadata.Description', 'a\0b');
  await odd(half, 'DescribeKey', 'KeyMetadata.Description', 'a\ud800b');
  await odd(tags, 'ListResourceTags', 'Tags', [
    { TagKey: 'own', TagValue: '1' },
    { TagKey: 'keyward:id', TagValue: tags?.id },
    { TagKey: 'n\0', TagValue: '\0' },
  ]);
  const start = new Date().toISOString();
  await services.database.pool.query('UPDATE work SET due_at = now()');
  for (const key of [plain, nul, half, tags]) {
    await eventually('it is looked at', async () => ((await get(key)).status.last_observed_at ?? '') > start);
  }
  for (const [key, shown] of [
    [notJson, 'Allow all that is good'],
    [list, 'Allow'],
  ] as const) {
    const { status } = await eventually('it says what is wrong', async () => {
      const now = await get(key);
      return now.status.error !== null && now;
    });
    t.match(status.error, { code: 'UnusableAnswer' });
    t.match(status.error?.message, /^GetKeyPolicy answered a policy that is no JSON object/);
    t.match(status.error?.message, shown);
  }
  const drift = async (key: typeof plain) =>
    (await get(key)).status.drift.map(({ field, observed }) => [field, observed]);
  t.same(await drift(nul), [['description', 'a\uFFFD{0000}b']]);
  t.same(await drift(half), [['description', 'a\uFFFD{D800}b']]);
  t.same(await drift(tags), [['tags.n\uFFFD{0000}', '\uFFFD{0000}']]);
  t.same((await get(plain)).status.drift, []);
  const metrics = await call<string>('GET', '/metrics');
  t.equal(metrics.status, 200);
  t.match(metrics.body, 'keyward_drift{provider="default",field="description"} 2');
  t.equal((await call('GET', `/v1/keys/${nul?.id}/events`)).status, 200);
});

test('what PostgreSQL can not hold is marked, and nothing else is changed', async (t) => {
  const unit = fc.oneof(fc.constantFrom('\0', '\ud800', '\udc00', '\u{1f511}', 'a'), fc.string());
  const text = fc.array(unit).map((units) => units.join(''));
  fc.assert(
    fc.property(text, (given) => {
      const stored = storableText(given);
      t.notOk(unstorableText(stored));
      if (!unstorableText(given)) t.equal(stored, given);
      t.strictSame(storableJson({ [given]: [given, 1, null] }), { [stored]: [stored, 1, null] });
    }),
    { numRuns: 50 },
  );
});
