import { DescribeKeyCommand } from '@aws-sdk/client-kms';
import tap, { type Test, test } from 'tap';
import { type OddAnswer, startGateway } from '../support/gateway.ts';
import { allKeyIds, metadata, tags } from '../support/kms-truth.ts';
import { startKms } from '../support/local-kms.ts';
import { eventually, startService } from '../support/service.ts';

// Each waits for deadlines most of the time.
tap.jobs = 3;

const html = '<html><head><title>Sorry</title></head><body>The gateway says no.</body></html>';
const json = { 'content-type': 'application/x-amz-json-1.1' };

/** A service with somebody on its way to KMS. */
async function startBehindGateway(t: Test, environment: Record<string, string> = {}) {
  const kms = await startKms(t);
  const gateway = await startGateway(t, kms.url);
  const quick = { KMS_ENDPOINT: gateway.url, WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '1', ...environment };
  const service = await startService(t, quick);
  const untilInSync = (id: string) =>
    eventually(`${id} is in sync`, async () => {
      const { body } = await service.call('GET', `/v1/keys/${id}`);
      return body.status?.state === 'in_sync' && body;
    });
  return { ...service, gateway, kms: kms.kms, control: kms.control, untilInSync };
}

/** Answers to a CreateKey that KMS carried out. */
const toCreateKey: Record<string, Partial<OddAnswer>> = {
  'HTML with 408': { status: 408, body: html },
  'HTML with 403': { status: 403, body: html },
  'HTML with 413': { status: 413, body: html },
  'HTML with 429': { status: 429, body: html },
  'HTML with 200': { status: 200, body: html },
  'a code that AWS does not document': {
    status: 400,
    body: '{"__type":"TooBusyException","message":"No."}',
    headers: json,
  },
  "a code of another operation's": {
    status: 400,
    body: '{"__type":"DisabledException","message":"No."}',
    headers: json,
  },
  'JSON without a code': { status: 403, body: '{"message":"Forbidden"}', headers: json },
  'JSON that breaks off': { status: 200, body: (own) => own.slice(0, own.length / 2), headers: json },
  'an error that breaks off': { status: 400, body: '{"__type":"LimitExceeded', headers: json },
  'JSON without the key': { status: 200, body: '{}', headers: json },
  'a key without its ARN': { status: 200, body: (own) => own.replace('"Arn"', '"Nra"'), headers: json },
  'nothing at all': { status: 204, body: '' },
};

test("an answer that is not KMS's never makes an orphan of a key that CreateKey made", {
  buffered: true,
}, async (t) => {
  const { call, gateway, kms, untilInSync } = await startBehindGateway(t);
  const keys = await Promise.all(
    Object.entries(toCreateKey).map(async ([what, odd]) => {
      gateway.answer({ operation: 'CreateKey', saying: `"${what}"`, isCarriedOut: true, ...odd });
      const { status, body } = await call('POST', '/v1/keys', { description: what }, { prefer: 'respond-async' });
      t.equal(status, 202, what);
      return untilInSync(body.id);
    }),
  );
  t.equal(gateway.left(), 0);
  const inKms = await allKeyIds(kms);
  t.same(new Set(inKms), new Set(keys.map(({ key_id }) => key_id)), 'one key for each record');
});

test("a change is neither taken back nor taken for done by an answer that is not KMS's", {
  buffered: true,
}, async (t) => {
  const { call, gateway, kms } = await startBehindGateway(t);
  const { body: key } = await call('POST', '/v1/keys', { description: 'before' });
  const cases: Partial<OddAnswer>[] = [
    { status: 403, body: html },
    { status: 413, body: html },
    { status: 200, body: html },
    { status: 403, body: '{"message":"Forbidden"}', headers: json },
    { status: 400, body: '{"__type":"TagException","message":"No."}', headers: json },
  ];
  for (const [index, odd] of cases.entries()) {
    gateway.answer({ operation: 'UpdateKeyDescription', ...odd });
    const description = `after ${index}`;
    const { status } = await call('PATCH', `/v1/keys/${key.id}`, { description });
    t.match(status, /^20[02]$/, JSON.stringify(odd));
    const { body } = await eventually('it is in sync', async () => {
      const told = await call('GET', `/v1/keys/${key.id}`);
      return told.body.status.state === 'in_sync' && told;
    });
    t.match(body, { description, status: { error: null } });
    t.equal((await metadata(kms, key.key_id ?? '')).Description, description);
  }
  const { body: events } = await call<{ items: { type: string }[] }>('GET', `/v1/keys/${key.id}/events?limit=200`);
  t.notOk(events.items.some(({ type }) => /refused|revert/.test(type)));
  gateway.answer({ operation: 'ScheduleKeyDeletion', status: 200, body: '{"ok":true}', headers: json });
  await call('DELETE', `/v1/keys/${key.id}`);
  await eventually('its deletion is scheduled in KMS', async () => {
    const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId: key.key_id ?? '' }));
    return KeyMetadata?.KeyState === 'PendingDeletion';
  });
  await eventually('the deletion is on record', async () => {
    const { body } = await call('GET', `/v1/keys/${key.id}`);
    return body.status.state === 'pending_deletion';
  });
});

test('a search by ownership tag is not taken for empty where an answer lacks a field', {
  buffered: true,
}, async (t) => {
  const { call, gateway, kms, untilInSync } = await startBehindGateway(t);
  const without = (name: string) => (own: string) => JSON.stringify({ ...JSON.parse(own), [name]: undefined });
  const lacking: [string, string][] = [
    ['ListKeys', 'Keys'],
    ['ListResourceTags', 'Tags'],
    ['DescribeKey', 'KeyMetadata'],
  ];
  for (const [operation, field] of lacking) {
    gateway.answer({ operation: 'CreateKey', isCarriedOut: true, status: 502, body: html });
    gateway.answer({ operation, times: 2, body: without(field), headers: json });
    const { body } = await call('POST', '/v1/keys', { description: field }, { prefer: 'respond-async' });
    const key = await untilInSync(body.id);
    t.equal((await tags(kms, key.key_id ?? ''))['keyward:id'], key.id, operation);
    gateway.clear();
  }
  gateway.answer({ operation: 'CreateKey', isCarriedOut: true, status: 502, body: html });
  const undated = (own: string) => own.replace('"CreationDate"', '"Date"');
  gateway.answer({ operation: 'DescribeKey', times: 2, body: undated, headers: json });
  const { body } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
  await untilInSync(body.id);
  t.equal((await allKeyIds(kms)).length, lacking.length + 1, 'one key for each record');
});
