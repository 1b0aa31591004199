import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { openKms } from '../../src/kms/client.ts';
import { searchByListing, searchByTaggingApi } from '../../src/kms/ownership.ts';
import { writeTimes } from '../../src/kms/permit.ts';
import { Limiter } from '../../src/kms/quotas.ts';
import { startKms } from '../support/local-kms.ts';

test('a key that was made long before the CreateKey in question is found by no search, whatever its tag says', async (t) => {
  const { url, kms } = await startKms(t);
  const owner = '01980e6c-0000-7000-8000-000000000000';
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Tags: [{ TagKey: 'keyward:id', TagValue: owner }] }));
  const quotas = new Limiter(1).open('test', 'none');
  const times = writeTimes(30_000);
  const target = { endpoint: url, region: 'us-east-1', assumeRole: null, endpointName: 'test', quotas };
  const way = openKms({ ...target, onCall: () => {}, times, expiringWrites: false });
  t.teardown(() => way.close());
  const knownAmong = async () => new Set<string>();
  for (const search of [searchByListing(way, 'keyward:id'), searchByTaggingApi(way, 'keyward:id')]) {
    const young = await search.find({ owner, madeSince: new Date(), knownAmong, settle: 0 });
    t.same(young, { owned: [KeyMetadata?.KeyId], unread: [] });
    const old = await search.find({ owner, madeSince: new Date(Date.now() + 1_200_000), knownAmong, settle: 0 });
    t.same(old, { owned: [], unread: [] });
  }
});
