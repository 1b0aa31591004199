import { test } from 'tap';
import { startGateway } from '../support/gateway.ts';
import { startKms } from '../support/local-kms.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

test('a web server at KMS_ENDPOINT is called what it is, at once, and forgotten when KMS is there', async (t) => {
  const gateway = await startGateway(t, (await startKms(t)).url);
  const body = '<html><title>Welcome</title></html>';
  for (const operation of ['ListKeys', 'CreateKey', 'GetCallerIdentity']) {
    gateway.answer({ operation, status: 501, body, times: Number.POSITIVE_INFINITY });
  }
  const { call } = await startService(t, {
    KMS_ENDPOINT: gateway.url,
    SETTLE_SECONDS: '1',
    WRITE_DEADLINE_SECONDS: '6',
  });
  const unready = await eventually('it is not ready', async () => {
    const answer = await call<Problem>('GET', '/readyz');
    return answer.status === 503 && answer;
  });
  t.match(unready.body.detail, `ListKeys: ${gateway.url} answered 501, not KMS's JSON: ${body}`);
  const { body: key } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
  const told = await eventually('the key says so', async () => {
    const { error } = (await call('GET', `/v1/keys/${key.id}`)).body.status;
    return error !== null && error;
  });
  t.match(told.message, /answered 501, not KMS's JSON: <html>/);
  t.match(told.operation, /^(CreateKey|ListKeys)$/);
  gateway.clear();
  await eventually('it is ready', async () => (await call('GET', '/readyz')).status === 200);
  await eventually('the key is in sync', async () => {
    return (await call('GET', `/v1/keys/${key.id}`)).body.status.state === 'in_sync';
  });
});

test('a CreateKey that KMS fails again and again says why', async (t) => {
  const { call, control } = await startService(t, { SETTLE_SECONDS: '1', WRITE_DEADLINE_SECONDS: '6' });
  const message = 'This needs the cryptography package.';
  await control.fault({ operation: 'CreateKey', kind: 'unknown_error', type: 'PackageError', message, times: null });
  const { body: key } = await call('POST', '/v1/keys', {}, { prefer: 'respond-async' });
  const error = await eventually('it is looked for', async () => {
    const { status } = (await call('GET', `/v1/keys/${key.id}`)).body;
    return status.error?.code === 'CreateKeyOutcomeUnknown' && status.error;
  });
  t.match(error, { operation: 'CreateKey', message: `PackageError: ${message}` });
});
