/**
 * Looks for keys that carry Keyward's ownership tag and have no record: a database restored from an older backup knows nothing
 * of the keys that were made since. They are reported. Nothing is given to anybody, and nothing is deleted: whoever may tag a
 * key can have it name any record. A record without a key looks for its own before it makes one.
 */
import { randomUUID } from 'node:crypto';
import { claimedIdIn } from '../../domain/tags.ts';
import type { Kms } from '../../kms/client.ts';
import { endingList, KmsFailure } from '../../kms/errors.ts';
import { type ListedKey, listKeys, tagsOf } from '../../kms/inventory.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { accessTo } from '../providers/access.ts';
import { findRowIn } from '../rows/read.ts';
import { knownAmong } from './known.ts';

const largestPage = 1000;
const concurrency = 8;
/** Days for which what was read of a foreign key's tags is taken to be so. */
const recheckDays = 1;

/**
 * Sweeps every provider. Costs one ListKeys call for 1000 keys, and ListResourceTags once a day for each key that Keyward has no
 * record of.
 */
export async function sweepUnmanagedKeys(services: Services): Promise<void> {
  const providers = await services.database.prisma.provider.findMany({ select: { name: true } });
  for (const { name: provider } of providers) {
    try {
      const { kms } = await accessTo(services, provider);
      await sweepProvider(services, provider, kms);
    } catch (error) {
      if (!(error instanceof KmsFailure)) throw error;
      services.log.warn({ provider, err: error }, 'could not look for unmanaged keys');
    }
  }
}

async function sweepProvider(services: Services, provider: string, kms: Kms): Promise<void> {
  const sweep = randomUUID();
  const ends = endingList('ListKeys');
  let marker: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof listKeys>> = await listKeys(kms, largestPage, marker);
    const keyIds = page.keys.map(({ key_id }) => key_id);
    const known = await knownAmong(services, kms.region, keyIds);
    const unknown = page.keys.filter(({ key_id }) => !known.has(key_id));
    await lookAt(services, { provider, kms, sweep }, unknown);
    marker = ends(page.next);
  } while (marker !== null);
  // Gone from KMS, or managed by now.
  await services.database.prisma.foreignKey.deleteMany({ where: { provider, sweep: { not: sweep } } });
}

type Sweep = { provider: string; kms: Kms; sweep: string };

async function lookAt(services: Services, { provider, kms, sweep }: Sweep, keys: ListedKey[]): Promise<void> {
  const { foreignKey } = services.database.prisma;
  const keyIds = keys.map(({ key_id }) => key_id);
  const checkedSince = new Date(Date.now() - recheckDays * 86_400_000);
  const remembered = await foreignKey.findMany({
    where: { provider, key_id: { in: keyIds }, checked_at: { gt: checkedSince }, claimed_id: null },
    select: { key_id: true },
  });
  const unclaimed = new Set(remembered.map(({ key_id }) => key_id));
  await foreignKey.updateMany({ where: { provider, key_id: { in: [...unclaimed] } }, data: { sweep } });
  const toRead = keys.filter(({ key_id }) => !unclaimed.has(key_id));
  for (let start = 0; start < toRead.length; start += concurrency) {
    const batch = toRead.slice(start, start + concurrency);
    await Promise.all(batch.map((key) => readOne(services, { provider, kms, sweep }, key)));
  }
}

async function readOne(services: Services, { provider, kms, sweep }: Sweep, key: ListedKey): Promise<void> {
  const tags = await tagsOf(kms, key.key_id);
  const claimedId = tags === null ? null : claimedIdIn(tags, services.ownershipTagName);
  await remember(services, { provider, sweep, claimedId }, key);
}

/** Reports a key that claims a record, when it is first seen to, unless that is its record's business. */
async function remember(
  { database, log }: Services,
  { provider, sweep, claimedId }: { provider: string; sweep: string; claimedId: string | null },
  { key_id, arn }: ListedKey,
): Promise<void> {
  await database.prisma.$transaction(async (transaction) => {
    const record = claimedId === null ? null : await findRowIn(transaction, claimedId);
    // Since the page was listed the record may have got its key, or be about to.
    if (record !== null && (record.arn === arn || (record.key_id === null && record.writes_open))) return;
    const where = { provider_key_id: { provider, key_id } };
    const before = await transaction.foreignKey.findUnique({ where });
    const seen = { arn, claimed_id: claimedId, sweep, checked_at: new Date() };
    await transaction.foreignKey.upsert({ where, create: { provider, key_id, ...seen }, update: seen });
    if (claimedId === null || before?.claimed_id === claimedId) return;
    const data = { arn, provider, arn_on_record: record?.arn ?? null };
    await recordEvent(transaction, { type: 'unmanaged_key.found', key: { id: claimedId, generation: 0 }, data });
    log.warn({ key: claimedId, arn }, "a key in KMS carries Keyward's ownership tag and no record names it");
  });
}
