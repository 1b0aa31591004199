import { test } from 'tap';
import { readTable } from '../../src/domain/operations.ts';
import { metadata, rotation } from '../support/kms-truth.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

const missing = { kind: 'unsupported', times: null };
/** As emulators say that they lack an operation. */
const words = ['InternalFailure', 'InvalidAction', 'UnknownOperationException'];

test('an operation that the KMS does not have is refused for good, and holds up nothing else', async (t) => {
  const { call, control, kms } = await startService(t, { SETTLE_SECONDS: '0' });
  const { body: key } = await call('POST', '/v1/keys', { description: '0' });
  const path = `/v1/keys/${key.id}`;
  for (const [index, type] of words.entries()) {
    for (const operation of ['ListKeyRotations', 'RotateKeyOnDemand']) {
      await control.fault({ ...missing, operation, type });
      const { status, body } = await call<Problem>('POST', `${path}/rotate`);
      t.equal(status, 422, `${operation}: ${type}`);
      t.match(body.kms_error, { code: type, operation });
      await control.clearFaults();
    }
    await control.fault({ ...missing, operation: 'ListKeyRotations', type });
    const description = String(index + 1);
    const changed = await call('PATCH', path, { description });
    t.match(changed, { status: 200, body: { description, status: { state: 'in_sync', error: null } } });
    t.equal((await metadata(kms, key.key_id ?? '')).Description, description);
    await control.clearFaults();
  }
  await control.fault({ ...missing, operation: 'TagResource', type: 'InvalidAction' });
  const refused = await call<Problem>('PATCH', path, { description: 'new', tags: { a: 'b' } });
  t.equal(refused.status, 422);
  t.match(refused.body.kms_error, { code: 'InvalidAction', operation: 'TagResource' });
  t.match((await call('GET', path)).body, { description: '3', tags: {}, status: { state: 'in_sync' } });
  await control.clearFaults();
  const indispensable = new Set<string>(['ListKeys', 'DescribeKey', 'ListResourceTags']);
  const reads = Object.keys(readTable).filter((operation) => !indispensable.has(operation));
  await control.fault(...reads.map((operation) => ({ ...missing, operation })));
  t.match(await call('PATCH', path, { description: 'last' }), { status: 200, body: { status: { state: 'in_sync' } } });
});

test('a rotation that was not sent along with the creation is sent later, though KMS does not tell of rotations', async (t) => {
  const { call, control, kms } = await startService(t, { SETTLE_SECONDS: '0' });
  await control.fault(
    { operation: 'EnableKeyRotation', kind: 'throttle', times: 5 },
    { ...missing, operation: 'GetKeyRotationStatus' },
  );
  const { body } = await call('POST', '/v1/keys', { enable_key_rotation: true });
  const key = await eventually('it is in sync', async () => {
    const { body: seen } = await call('GET', `/v1/keys/${body.id}`);
    return seen.status.state === 'in_sync' && seen;
  });
  await control.clearFaults();
  t.match(await rotation(kms, key.key_id ?? ''), { enabled: true });
});

test('a rotation that has to wait does not keep a change of the same key waiting', async (t) => {
  const { call, control } = await startService(t, { SETTLE_SECONDS: '0' });
  const { body: key } = await call('POST', '/v1/keys', {});
  await control.fault({ kind: 'html', operation: 'ListKeyRotations', status: 502, times: null });
  const asked = await call('POST', `/v1/keys/${key.id}/rotate`, undefined, { prefer: 'wait=1' });
  t.equal(asked.status, 202);
  const { status, body } = await call('PATCH', `/v1/keys/${key.id}`, { description: 'changed' });
  t.equal(status, 200);
  t.match(body.status, { state: 'in_sync', error: { code: 'NotKmsAnswer', operation: 'ListKeyRotations' } });
});
