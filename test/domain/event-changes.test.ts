import { test } from 'tap';
import { beforeAndAfter } from '../../src/domain/event-changes.ts';

test('a KMS write tells the fields that it changed, as they were and as it left them', async (t) => {
  const write = (operation: string, parameters: object, before: object) =>
    beforeAndAfter('kms.write', { operation, parameters: { ...parameters }, before: { ...before }, outcome: 'done' });
  t.same(write('UpdateKeyDescription', { Description: 'b' }, { description: 'a' }), {
    before: { description: 'a' },
    after: { description: 'b' },
  });
  t.same(write('TagResource', { Tags: { b: '2' } }, { tags: { a: '1' } }), {
    before: { tags: { a: '1' } },
    after: { tags: { a: '1', b: '2' } },
  });
  t.same(write('DisableKey', {}, { key_state: 'Enabled' }), {
    before: { key_state: 'Enabled' },
    after: { key_state: 'Disabled' },
  });
});

test('a write that KMS did not carry out changed nothing', async (t) => {
  const data = { operation: 'DisableKey', parameters: {}, before: { key_state: 'Enabled' }, outcome: 'refused' };
  t.same(beforeAndAfter('kms.write', data), { before: null, after: null });
});
