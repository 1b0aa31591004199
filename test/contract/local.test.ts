import { test } from 'tap';
import { kmsClient, startService } from '../support/service.ts';
import { allScenarios } from './all.ts';
import { otherRegion } from './scenario.ts';

test('the contract, against the local KMS', async (t) => {
  const { call, kms, kmsUrl } = await startService(t);
  const elsewhere = kmsClient(kmsUrl, '111122223333', otherRegion);
  t.teardown(() => elsewhere.destroy());
  for (const { name, run } of allScenarios) {
    await t.resolves(run({ call, kms, elsewhere }), name);
  }
});
