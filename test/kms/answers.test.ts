import { DescribeKeyCommand, ListKeysCommand, TagResourceCommand } from '@aws-sdk/client-kms';
import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { test } from 'tap';
import { openKms } from '../../src/kms/client.ts';
import { call } from '../../src/kms/errors.ts';
import { withPermit, writeTimes } from '../../src/kms/permit.ts';
import { Limiter } from '../../src/kms/quotas.ts';
import { startGateway } from '../support/gateway.ts';
import { startKms } from '../support/local-kms.ts';

const permit = { beforeSend: async () => {} };
const json = { 'content-type': 'application/x-amz-json-1.1' };

test('an answer to a call', async (t) => {
  const { url, create } = await startKms(t);
  const { KeyId } = await create();
  const gateway = await startGateway(t, url);
  const settings = {
    endpoint: gateway.url,
    region: 'us-east-1',
    assumeRole: null,
    endpointName: 'test',
    onCall: () => {},
    times: { ...writeTimes(30_000), requestTimeout: 700 },
    expiringWrites: false,
    quotas: new Limiter(1).open('test', 'none'),
  };
  const kms = openKms(settings);
  t.teardown(() => kms.close());
  const Tags = [{ TagKey: 'a', TagValue: 'b' }];
  const tag = () =>
    call('TagResource', () => withPermit(permit, () => kms.writes.send(new TagResourceCommand({ KeyId, Tags }))));
  const list = () => call('ListKeys', () => kms.reads.send(new ListKeysCommand({})));
  const unknown = { kind: 'fault', certainlyNotDone: false };

  await t.test('that stalls in its body, or before its headers, ends with the deadline of the call', async (t) => {
    for (const stallsAfter of [0, 1]) {
      gateway.answer({ operation: 'TagResource', isCarriedOut: true, body: '{}', headers: json, stallsAfter });
      const start = performance.now();
      await t.rejects(tag(), { ...unknown, code: 'TimeoutError', message: /^TagResource: http:.* within 700 ms$/ });
      t.ok(performance.now() - start < 5000, 'within the deadline, give or take a busy machine');
    }
  });
  await t.test('that has no end is not read beyond the limit', async (t) => {
    gateway.answer({ operation: 'TagResource', isCarriedOut: true, bytes: 800 << 20 });
    await t.rejects(tag(), { ...unknown, code: 'AnswerTooLarge' });
    gateway.answer({ operation: 'TagResource', body: ' ', headers: { 'content-length': String(800 << 20) } });
    await t.rejects(tag(), { ...unknown, code: 'AnswerTooLarge' });
    t.ok(gateway.sent.bytes < 32 << 20, `${gateway.sent.bytes} bytes went out`);
  });
  await t.test('that is not of KMS says who answered what', async (t) => {
    const body = `<html>\n<title>501\0</title>${'x'.repeat(200)}`;
    gateway.answer({ operation: 'ListKeys', status: 501, body, times: 3 });
    const message = `ListKeys: ${gateway.url} answered 501, not KMS's JSON: ${body.replace('\n', ' ').replace('\0', ' ').slice(0, 100)}`;
    await t.rejects(list(), { ...unknown, code: 'NotKmsAnswer', message });
    gateway.clear();
    gateway.answer({ operation: 'GetCallerIdentity', status: 403, body: 'AccessDenied', times: 3 });
    const asked = call('GetCallerIdentity', () => kms.sts.send(new GetCallerIdentityCommand({})));
    await t.rejects(asked, {
      ...unknown,
      message: /^GetCallerIdentity: .* answered 403, not STS's XML: AccessDenied$/,
    });
    gateway.clear();
  });
  await t.test('that repeats what it was sent tells no signature', async (t) => {
    const echo = (_own: string, headers: Record<string, unknown>) => `Not you: ${headers['authorization']}`;
    gateway.answer({ operation: 'TagResource', status: 401, body: echo });
    await t.rejects(tag(), { message: / answered 401, not KMS's JSON: Not you: …$/ });
  });
  await t.test('that emulators give where KMS gives none is one', async (t) => {
    for (const body of ['', '{}', 'null']) {
      gateway.answer({ operation: 'TagResource', status: 200, headers: {}, body });
      await t.resolves(tag(), JSON.stringify(body));
    }
  });
  await t.test('that says 501 in the words of KMS is of an operation that it does not have', async (t) => {
    const refusal = '{"__type":"InternalFailure","message":"not included"}';
    gateway.answer({ operation: 'DescribeKey', status: 501, headers: json, body: refusal, times: 3 });
    const described = call('DescribeKey', () => kms.reads.send(new DescribeKeyCommand({ KeyId })));
    await t.rejects(described, { kind: 'unsupported', certainlyNotDone: true, message: 'not included' });
    gateway.clear();
  });
  await t.test('that breaks off is none', async (t) => {
    gateway.answer({ operation: 'ListKeys', body: (own) => own.slice(0, 20), headers: json });
    await t.rejects(list(), { ...unknown, code: 'NotKmsAnswer' });
  });
  await t.test('that never comes, since nobody is there, says who was to be reached', async (t) => {
    // A port that only root may listen at.
    const away = 'http://127.0.0.1:1';
    const nobody = openKms({ ...settings, endpoint: away });
    t.teardown(() => nobody.close());
    const asked = call('ListKeys', () => nobody.reads.send(new ListKeysCommand({})));
    const message = `ListKeys: there is no connection to ${away}: ECONNREFUSED`;
    await t.rejects(asked, { kind: 'fault', certainlyNotDone: true, message });
  });
});
