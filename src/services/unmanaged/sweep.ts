/**
 * Looks through the keys of KMS for those that no record names, and puts on record what they are: lists of them ask KMS nothing.
 * Those that carry Keyward's ownership tag are reported: a database restored from an older backup knows nothing of the keys that were
 * made since. Nothing is given to anybody, and nothing is deleted: whoever may tag a key can have it name any record. A record
 * without a key looks for its own before it makes one.
 */
import { randomUUID } from 'node:crypto';
import { claimedIdIn } from '../../domain/tags.ts';
import type { Kms } from '../../kms/client.ts';
import { endingList, KmsFailure } from '../../kms/errors.ts';
import { inspectKey, type ListedKey, listAliases, listKeys } from '../../kms/inventory.ts';
import { Urgency, withUrgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { formerAmong } from '../keys/former.ts';
import { accessTo, homeElsewhere } from '../providers/access.ts';
import { findRowIn } from '../rows/read.ts';
import { managedAmong } from './known.ts';
import { claimedBefore, forgetUnseen, keepKnown, keepSeen, recordSweep, type Seen, type Sweep } from './rows.ts';

const largestPage = 1000;
const concurrency = 8;
/** Days for which what was read of a foreign key is taken to be so. */
const recheckDays = 1;

/**
 * Sweeps every provider. Costs one ListKeys call for 1000 keys, one ListAliases call for 100 aliases, and DescribeKey and
 * ListResourceTags once a day for each key that Keyward has no record of. Whoever waits for KMS goes first.
 */
export function sweepUnmanagedKeys(services: Services): Promise<void> {
  return withUrgency(new Urgency(false), async () => {
    const providers = await services.database.prisma.provider.findMany({ select: { name: true } });
    for (const { name } of providers) {
      try {
        const { kms } = await accessTo(services, name);
        await sweepProvider(services, name, kms);
        await recordSweep(services, name, null);
      } catch (error) {
        if (!(error instanceof KmsFailure)) throw error;
        services.log.warn({ provider: name, err: error }, 'could not look for unmanaged keys');
        await recordSweep(services, name, `${error.code}: ${error.message}`);
      }
    }
  });
}

type Work = Sweep & { kms: Kms; aliases: Map<string, string[]> | null };

async function sweepProvider(services: Services, provider: string, kms: Kms): Promise<void> {
  const work: Work = {
    provider,
    kms,
    id: randomUUID(),
    since: new Date(services.now()),
    aliases: await listAliases(kms),
  };
  const ends = endingList('ListKeys');
  let marker: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof listKeys>> = await listKeys(kms, largestPage, marker);
    await lookAt(services, work, await unknownAmong(services, kms, page.keys));
    marker = ends(page.next);
  } while (marker !== null);
  await forgetUnseen(services, work);
}

type Unknown = ListedKey & { isFormer: boolean };

/**
 * Those that the provider is for, and that no record names or is about to delete: a KMS may show others too. `isFormer`: a record had
 * it before; somebody may take its deletion back.
 */
async function unknownAmong(services: Services, kms: Kms, keys: ListedKey[]): Promise<Unknown[]> {
  const keyIds = keys.map(({ key_id }) => key_id);
  const managed = new Set(await managedAmong(services, kms.region, keyIds));
  const waiting = new Set(await formerAmong(services, keyIds, { deletion: 'waiting' }));
  const former = new Set(await formerAmong(services, keyIds));
  const homes = await Promise.all(keys.map(({ arn }) => homeElsewhere(kms, arn)));
  return keys
    .filter(({ key_id }, index) => homes[index] === null && !managed.has(key_id) && !waiting.has(key_id))
    .map((key) => ({ ...key, isFormer: former.has(key.key_id) }));
}

async function lookAt(services: Services, work: Work, keys: Unknown[]): Promise<void> {
  const aliasesOf = ({ key_id }: ListedKey) => (work.aliases === null ? null : (work.aliases.get(key_id) ?? []));
  const settled = keys.filter(({ isFormer }) => !isFormer);
  const checkedSince = new Date(services.now() - recheckDays * 86_400_000);
  const seen = settled.map((key) => ({ key_id: key.key_id, aliases: aliasesOf(key) }));
  const known = await keepKnown(services, work, seen, checkedSince);
  const toRead = keys.filter(({ key_id }) => !known.has(key_id));
  for (let start = 0; start < toRead.length; start += concurrency) {
    const batch = toRead.slice(start, start + concurrency);
    const read = await Promise.all(batch.map((key) => readOne(services, work, key, aliasesOf(key))));
    await remember(
      services,
      work,
      read.filter((seen) => seen !== null),
    );
  }
}

type Read = Seen & { isFormer: boolean };

async function readOne(
  { ownershipTagName }: Services,
  { kms }: Work,
  { isFormer, ...listed }: Unknown,
  aliases: string[] | null,
): Promise<Read | null> {
  const inspected = await inspectKey(kms, listed.key_id);
  if (inspected === null) return null;
  const { tags } = inspected;
  return {
    listed,
    inspected,
    aliases,
    claimedId: tags === null ? null : claimedIdIn(tags, ownershipTagName),
    isFormer,
  };
}

async function remember(services: Services, sweep: Sweep, read: Read[]): Promise<void> {
  const { database, ownershipTagName } = services;
  const unclaimed = read.filter(({ claimedId }) => claimedId === null);
  await keepSeen(database.prisma, sweep, unclaimed, ownershipTagName);
  for (const seen of read) {
    if (seen.claimedId !== null) await rememberClaim(services, sweep, seen, seen.claimedId);
  }
}

/** Reports a key that claims a record, when it is first seen to, unless that is its record's business. */
async function rememberClaim(
  { database, ownershipTagName, log }: Services,
  sweep: Sweep,
  seen: Read,
  claimedId: string,
) {
  const { arn, key_id } = seen.listed;
  await database.prisma.$transaction(async (transaction) => {
    const record = await findRowIn(transaction, claimedId);
    // Since the page was listed the record may have got its key, or be about to.
    if (record !== null && (record.arn === arn || (record.key_id === null && record.writes_open))) return;
    const before = await claimedBefore(transaction, sweep.provider, key_id);
    await keepSeen(transaction, sweep, [seen], ownershipTagName);
    if (seen.isFormer || before === claimedId) return;
    const data = { arn, provider: sweep.provider, arn_on_record: record?.arn ?? null };
    await recordEvent(transaction, { type: 'unmanaged_key.found', key: { id: claimedId, generation: 0 }, data });
    log.warn({ key: claimedId, arn }, "a key in KMS carries Keyward's ownership tag and no record names it");
  });
}
