import path from 'node:path';
import { CreateKeyCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { seedKeys } from '../../bench/seed.ts';
import { startLocalKms } from '../../src/local/kms/index.ts';
import { Store } from '../../src/local/kms/store.ts';
import { refuses } from '../support/local-kms.ts';
import { temporaryFolder } from '../support/process.ts';
import { kmsClient } from '../support/service.ts';

test('100,000 customer managed keys an account and Region (resource quota)', async (t) => {
  const dataDir = path.join(await temporaryFolder(t), 'kms');
  const store = new Store(dataDir);
  seedKeys(store, 99_999);
  store.close();
  const server = await startLocalKms({ dataDir });
  const kms = kmsClient(server.url);
  const elsewhere = kmsClient(server.url, '111122223333', 'eu-west-1');
  t.teardown(async () => {
    kms.destroy();
    elsewhere.destroy();
    await server.close();
  });
  await t.resolves(kms.send(new CreateKeyCommand({})), 'the last one');
  await refuses(t, kms.send(new CreateKeyCommand({})), 'LimitExceededException');
  await t.resolves(elsewhere.send(new CreateKeyCommand({})), 'another Region has a quota of its own');
  t.equal((await kms.send(new ListKeysCommand({ Limit: 1000 }))).Keys?.length, 1000);
});
