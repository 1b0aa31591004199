/** A service for multi-Region keys. */
import type { Test } from 'tap';
import { kmsClient, startService, withMovedClock } from './service.ts';

/** A service with the providers `eu` and `ap` beside its own, and a client of KMS in each of those Regions. */
export async function startWithRegions(t: Test, environment: Record<string, string> = withMovedClock) {
  const service = await startService(t, environment);
  const regions = { eu: 'eu-west-1', ap: 'ap-south-1' };
  for (const [name, region] of Object.entries(regions)) {
    t.match(await service.call('POST', '/v1/providers', { name, region }), { status: 201 });
  }
  const eu = kmsClient(service.kmsUrl, '111122223333', regions.eu);
  const ap = kmsClient(service.kmsUrl, '111122223333', regions.ap);
  t.teardown(() => {
    eu.destroy();
    ap.destroy();
  });
  return { ...service, eu, ap };
}
