/**
 * Looks for keys that carry Keyward's ownership tag and have no record: a database restored from an older backup knows nothing
 * of the keys that were made since. They are reported, and one whose record exists without a key is given back to it.
 * Nothing is ever deleted.
 */
import { randomUUID } from 'node:crypto';
import { claimedIdIn } from '../../domain/tags.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { type ListedKey, listKeys, tagsOf } from '../../kms/inventory.ts';
import type { Services } from '../context.ts';
import { accessTo } from '../providers/access.ts';
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
  let marker: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof listKeys>> = await listKeys(kms, largestPage, marker);
    const keyIds = page.keys.map(({ key_id }) => key_id);
    const known = await knownAmong(services, kms.region, keyIds);
    const unknown = page.keys.filter(({ key_id }) => !known.has(key_id));
    await lookAt(services, { provider, kms, sweep }, unknown);
    marker = page.next;
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
  if (claimedId !== null && (await adopt(services, provider, claimedId, key))) return;
  await remember(services, { provider, sweep, claimedId }, key);
}

/**
 * Gives a key to the record that it names, if that has none and nobody is at it; a sync then brings it in line. An open write means
 * that the sync looks for the key by itself. Since the page was listed, the record may have had the key and replaced it. A worker
 * that fell silent is shut out: it knows of no key, and would make one.
 */
async function adopt({ database, queue, log }: Services, provider: string, id: string, { key_id, arn }: ListedKey) {
  const adopted = await database.prisma.$transaction(async (transaction) => {
    const count = await transaction.$executeRaw`
      UPDATE keys SET key_id = ${key_id}, arn = ${arn}, state = 'updating', due_at = now(), error = NULL, attempts = 0,
        lease_token = NULL, lease_until = NULL
      WHERE id = ${id}::uuid AND provider = ${provider} AND key_id IS NULL AND NOT writes_open
        AND (lease_until IS NULL OR lease_until < now())
        AND NOT EXISTS (SELECT 1 FROM former_keys WHERE key_id = ${key_id} AND arn = ${arn})`;
    if (count === 0) return false;
    const event = { key_ref: id, type: 'key.adopted', generation: 0, actor: 'keyward', data: { arn } };
    await transaction.event.create({ data: event });
    await queue.wake(transaction, id);
    return true;
  });
  if (adopted) log.warn({ key: id, arn }, 'gave a key in KMS back to the record that it names');
  return adopted;
}

/** Reports a key that claims a record, when it is first seen to, unless that is its record's business. */
async function remember(
  { database, log }: Services,
  { provider, sweep, claimedId }: { provider: string; sweep: string; claimedId: string | null },
  { key_id, arn }: ListedKey,
): Promise<void> {
  await database.prisma.$transaction(async (transaction) => {
    const select = { arn: true, key_id: true, writes_open: true };
    const record = claimedId === null ? null : await transaction.key.findUnique({ where: { id: claimedId }, select });
    // Since the page was listed the record may have got its key, or be about to.
    if (record !== null && (record.arn === arn || (record.key_id === null && record.writes_open))) return;
    const where = { provider_key_id: { provider, key_id } };
    const before = await transaction.foreignKey.findUnique({ where });
    const seen = { arn, claimed_id: claimedId, sweep, checked_at: new Date() };
    await transaction.foreignKey.upsert({ where, create: { provider, key_id, ...seen }, update: seen });
    if (claimedId === null || before?.claimed_id === claimedId) return;
    const data = { arn, provider, arn_on_record: record?.arn ?? null };
    const event = { key_ref: claimedId, type: 'unmanaged_key.found', generation: 0, actor: 'keyward', data };
    await transaction.event.create({ data: event });
    log.warn({ key: claimedId, arn }, "a key in KMS carries Keyward's ownership tag and no record names it");
  });
}
