import { UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { observeKey } from '../../src/kms/observe.ts';
import { accessTo } from '../../src/services/providers/access.ts';
import { syncKey } from '../../src/services/sync/engine.ts';
import { metadata } from '../support/kms-truth.ts';
import { startService } from '../support/service.ts';

test('a look that somebody asks for reads KMS, also right after the refresh has read the key', async (t) => {
  const { call, kms, services } = await startService(t, { SETTLE_SECONDS: '0' });
  const { kms: way } = await accessTo(services, 'default');
  for (const enforce of [false, true]) {
    const { body: key } = await call('POST', '/v1/keys', { description: 'mine', drift_policy: 'report' });
    const KeyId = key.key_id ?? '';
    const { status_version } = await services.database.prisma.work.findUniqueOrThrow({ where: { key_ref: key.id } });
    const seen = { read: await observeKey(way, KeyId, { aliases: null }), statusVersion: status_version };
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description: 'theirs' }));
    // As POST …/refresh and …/sync do, but for the wake-up: the refresh passes the key on first.
    const asked = { requested_observation: 1, ...(enforce ? { enforce_through: 1 } : {}) };
    await services.database.prisma.work.update({ where: { key_ref: key.id }, data: asked });
    await syncKey(services, key.id, { seen, isPassedOn: true });
    t.equal((await call('GET', `/v1/keys/${key.id}`)).body.status.state, enforce ? 'in_sync' : 'drifted');
    t.equal((await metadata(kms, KeyId)).Description, enforce ? 'mine' : 'theirs');
  }
});
