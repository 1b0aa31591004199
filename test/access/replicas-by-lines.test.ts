import { test } from 'tap';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { startService } from '../support/service.ts';

const headers = { 'content-type': 'application/x-ndjson' };

test('a line makes a replica of no key that its sender may not change', async (t) => {
  const { url, control } = await startService(t, withTokens);
  const admin = callerWith(url, adminToken);
  t.equal((await admin('POST', '/v1/providers', { name: 'eu', region: 'eu-west-1' })).status, 201);
  const { body: primary } = await admin('POST', '/v1/keys', { multi_region: true, tags: { team: 'upper' } });
  const id = '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a12';
  const line = { id, provider: 'eu', multi_region: true, replica_of: primary.id, tags: { team: 'lower' } };
  const apply = async (token: string) => {
    const { body } = await callerWith(url, token)<string>('POST', '/v1/keys/apply', JSON.stringify(line), headers);
    return JSON.parse(body);
  };
  const editor = await addToken(admin, { role: 'editor', tags: { team: 'lower' } });
  t.match(await apply(editor.token), { outcome: 'failed', problem: { status: 404 } }, 'it may not see that key');
  await admin('PUT', '/v1/access/roles/maker', { permissions: ['keys:read', 'keys:create'] });
  const maker = await addToken(admin, { role: 'maker' });
  const subject = { token: maker.name };
  await admin('POST', '/v1/access/bindings', { role: 'editor', subject, tags: { team: 'lower' } });
  t.match(await apply(maker.token), { outcome: 'failed', problem: { status: 403 } }, 'as by POST …/replicas');
  t.notOk((await control.calls()).some(({ operation }) => operation === 'ReplicateKey'));
});
