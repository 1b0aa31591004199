/** A KMS of its own that drops the tags of new keys, where nothing tells a lost key from somebody else's. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startLocalKms } from '../src/local/kms/index.ts';
import { allKeyIds } from '../test/support/kms-truth.ts';
import { type Call, caller, eventually, kmsClient } from '../test/support/service.ts';
import type { Lab } from './lab.ts';
import type { Ledger } from './ledger.ts';
import type { Trap } from './traps.ts';

/** More than there are processes: each may make one key to find out. */
const records = 8;

/** Many keys are asked for at once: none is made after the first has told that its tags are gone. */
export function droppedTags(lab: Lab, ledger: Ledger): Trap {
  let made = 0;
  const run = async (url: string) => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'keyward-chaos-'));
    const kms = await startLocalKms({ dataDir: folder, settings: { ignored_parameters: { CreateKey: ['Tags'] } } });
    const client = kmsClient(kms.url);
    const call = caller(url);
    const provider = `drops-${randomUUID()}`;
    try {
      const added = await call('POST', '/v1/providers', { name: provider, region: 'us-east-1', endpoint: kms.url });
      if (added.status !== 201) return;
      const asked = Array.from({ length: records }, () =>
        call('POST', '/v1/keys', { provider }, { prefer: 'respond-async' }),
      );
      const ids = (await Promise.all(asked)).map(({ body }) => body.id);
      await eventually('one key is made', async () => (await allKeyIds(client)).length > 0);
      await delay(2000);
      made = (await allKeyIds(client)).length;
      await letGo(call, ids);
      // The KMS of the run has none of them.
      for (const keyId of await allKeyIds(client)) ledger.lost.add(keyId);
      await eventually('the provider is gone', async () => {
        return (await call('DELETE', `/v1/providers/${provider}`)).status !== 409;
      });
    } finally {
      client.destroy();
      await kms.close();
      await rm(folder, { recursive: true, force: true });
    }
  };
  // A guest may have stayed from an earlier run.
  const processes = lab.replicas.length + 1;
  const violations = async () =>
    made > processes ? [`unmarked: ${made} keys were made at a KMS that drops their tags`] : [];
  const operations = [{ name: 'keys are asked for at a KMS that drops their tags', at: 0, run }];
  return { kind: 'dropped-tags', takesFaults: false, operations, violations };
}

/** Those that have no key come first: else one of them would be the next to find out. */
async function letGo(call: Call, ids: string[]): Promise<void> {
  const keys = await Promise.all(ids.map(async (id) => (await call('GET', `/v1/keys/${id}`)).body));
  for (const isMade of [false, true]) {
    const ofOneKind = keys.filter(({ key_id }) => (key_id !== null) === isMade);
    await Promise.all(
      ofOneKind.map(({ id }) =>
        eventually('the record is let go of', async () => {
          const { status } = await call('POST', `/v1/keys/${id}/release`);
          return status === 404;
        }),
      ),
    );
  }
}
