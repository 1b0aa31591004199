/** Exactly one key (I3): CreateKey can't be repeated safely, so what became of earlier calls is found out first. */
import { setTimeout as delay } from 'node:timers/promises';
import type { KmsWrite, Transaction } from '../../database/client.ts';
import { afterCreate } from '../../domain/after-step.ts';
import type { MakingStep } from '../../domain/operations.ts';
import type { CreateKeyParameters, ObservedKey } from '../../domain/types.ts';
import { createKey, type MadeKey } from '../../kms/apply.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { describeKey, knownOf, readPolicy } from '../../kms/observe.ts';
import type { Found } from '../../kms/ownership.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { findHolder } from '../keys/find.ts';
import { lookForOthers, sampleOf } from '../providers/sample.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { makingOf } from '../rows/relatives.ts';
import { holdRow, writeHeldRow } from '../rows/write.ts';
import { knownAmong, newSince } from '../unmanaged/known.ts';
import { assertClocksAgree } from './clocks.ts';
import { closeEntry, outcomeOnRecord, type RecordedWrite, recordMade, recordRest } from './journal.ts';
import type { JournalEntry } from './journal-entry.ts';
import { LeaseLost, type SyncEnd, type Work } from './lease.ts';
import { timeUntilSettled } from './open-writes.ts';
import { findReplica } from './replication.ts';
import { sendWrite } from './send.ts';

/** How long after an empty search the next one follows that has to be empty too. */
const secondLook = 1000;
/** Milliseconds for which the record of a new key waits for what is still to be read of it. */
const longestReading = 250;

const unknownCreation = (operation: string) =>
  `An earlier ${operation} has an unknown outcome; Keyward looks for its key before it makes another`;

/** The codes of errors whose messages name the keys in question. */
export const keyNotReadable = 'KeyNotReadable';
export const duplicateKeys = 'DuplicateKeys';

/** An earlier CreateKey or ReplicateKey may still take effect, or its key not be seen yet: nothing may be created before `until`. */
export class CreationUnsettled extends Error {
  readonly until: Date;
  readonly code: string;

  constructor(until: Date, message: string, code = 'CreateKeyOutcomeUnknown') {
    super(message);
    this.until = until;
    this.code = code;
  }
}

/**
 * Finds out what became of CreateKey or ReplicateKey calls of unknown outcome.
 * @param creations at least one.
 * @returns the row, with the key's identity where the search by ownership tag found the key; null when they surely had
 * no effect.
 * @throws CreationUnsettled when that can't be told yet, KmsFailure when the search fails.
 */
export async function settleCreations(
  services: Services,
  kms: Kms,
  work: Work,
  creations: KmsWrite[],
): Promise<KeyRow | null> {
  if (services.failurePoints.isOff('no-ownership-search')) return null;
  const { row } = work;
  await assertSameAccount(kms, creations);
  await assertSameKms(services, kms, row, creations);
  const left = await timeUntilSettled(services, creations);
  const keyId = await searchTwice(services, kms, row, creations, left);
  if (keyId === null) return null;
  const described = await describeKey(kms, keyId).catch(asFault);
  for (const write of creations) await recordCreated(services, work, { id: write.id, step: write }, described);
  services.log.info({ key: row.id, arn: described.arn }, 'found the key that an earlier call had made');
  return { ...row, arn: described.arn, key_id: described.key_id };
}

/** A search in another account than the one that the calls were sent in would find nothing, whatever they made. */
async function assertSameAccount(kms: Kms, creations: KmsWrite[]): Promise<void> {
  const here = (await kms.identity())?.account ?? null;
  // While STS doesn't tell, the credentials may be of any.
  const elsewhere = creations.find(({ account }) => account !== null && account !== here);
  if (elsewhere === undefined) return;
  const { operation, account } = elsewhere;
  const now = here === null ? 'an account that STS does not tell' : `account ${here}`;
  const message = `A ${operation} of unknown outcome was sent in account ${account}, and the credentials are of ${now} now`;
  throw new KmsFailure('credentials', 'WrongAccountOrRegion', message, operation, true);
}

/**
 * The same of another KMS, where a provider was given another endpoint meanwhile. That it has keys of the provider's shows that
 * only its name is another.
 */
async function assertSameKms(services: Services, kms: Kms, row: KeyRow, creations: KmsWrite[]): Promise<void> {
  const elsewhere = creations.find(({ endpoint }) => endpoint !== null && endpoint !== kms.endpointName);
  if (elsewhere === undefined) return;
  const keyIds = await sampleOf(services, row, elsewhere.planned_at);
  if (keyIds.length > 0 && (await lookForOthers(kms, keyIds)) === 'seen') return;
  const { operation, endpoint } = elsewhere;
  const message = `A ${operation} of unknown outcome was sent to ${endpoint}, and provider ${row.provider} is at ${kms.endpointName} now`;
  throw new KmsFailure('credentials', 'WrongAccountOrRegion', message, operation, true);
}

/** One empty search proves nothing, and none does before the time has come, or while the key may be one that can't be read. */
async function searchTwice(
  services: Services,
  kms: Kms,
  row: KeyRow,
  creations: KmsWrite[],
  left: number,
): Promise<string | null> {
  const madeSince = new Date(Math.min(...creations.map(({ planned_at }) => planned_at.getTime())));
  const tagNames = creations.flatMap(({ parameters }) => ownershipTagsIn(parameters, row.id));
  const first = await search(services, kms, row, madeSince, tagNames);
  if (first.keyId !== null) return first.keyId;
  if (left > 0) throw new CreationUnsettled(new Date(services.now() + left), unknownCreationOf(creations));
  // By a clock that jumped, the time would seem to be over.
  await assertClocksAgree(services, kms, makingOf(row));
  await delay(secondLook);
  const { keyId, unread } = await search(services, kms, row, madeSince, tagNames);
  if (keyId === null) await assertNoSuspects(services, unread, madeSince);
  return keyId;
}

/** The names of the tags by which a CreateKey marked its key as the record's: OWNERSHIP_TAG may have been another then. */
export function ownershipTagsIn(parameters: unknown, id: string): string[] {
  const { Tags } = parameters as CreateKeyParameters;
  return Object.keys(Tags).filter((name) => Tags[name] === id);
}

/** With what came back of the latest of the calls. */
function unknownCreationOf(creations: KmsWrite[]): string {
  const told = creations.map(({ error }) => error as { code: string; message: string } | null).findLast((last) => last);
  const unknown = unknownCreation(creations.at(-1)?.operation ?? 'CreateKey');
  return told == null ? unknown : `${unknown}. What came back was ${told.code}: ${told.message}`;
}

/** @throws KmsFailure when some of the keys that can't be read may have been made since. */
export async function assertNoSuspects(services: Services, unread: string[], since: Date): Promise<void> {
  if (unread.length === 0) return;
  const suspects = await newSince(services, unread, since);
  if (suspects.length === 0) return;
  const message = `An earlier CreateKey may have made ${suspects.join(' or ')}: KMS won't let Keyward read whose key that is`;
  throw new KmsFailure('fault', keyNotReadable, message, 'ListResourceTags', true);
}

/**
 * One search by ownership tag.
 * @param tagNames names of the tag beside the one of now.
 * @returns the key, or null; and the keys that KMS won't let Keyward read.
 * @throws KmsFailure
 */
export async function search(
  services: Services,
  kms: Kms,
  row: KeyRow,
  madeSince: Date,
  tagNames: string[] = [],
): Promise<{ keyId: string | null; unread: string[] }> {
  if (row.replica_of !== null) return searchReplica(services, kms, row);
  const { settle } = services.times;
  const among = (keyIds: string[]) => knownAmong(services, kms.region, keyIds, row.id);
  const wanted = { owner: row.id, madeSince, knownAmong: among, settle };
  const found: Found[] = [];
  for (const name of new Set([services.ownershipTagName, ...tagNames])) {
    found.push(await services.ownershipSearchFor(kms, name).find(wanted).catch(asFault));
  }
  const owned = [...new Set(found.flatMap((one) => one.owned))];
  const unread = [...new Set(found.flatMap((one) => one.unread))];
  await services.failurePoints.pass('search-done');
  if (owned.length > 1) {
    const message = `Several KMS keys carry the ownership tag of this key: ${owned.join(', ')}`;
    throw new KmsFailure('fault', duplicateKeys, message, 'ListResourceTags', true);
  }
  return { keyId: owned[0] ?? null, unread };
}

/** A replica is looked for by the id that it has if it is there. What carries no tag of the record's was not made for it. */
async function searchReplica(services: Services, kms: Kms, row: KeyRow) {
  const found = await findReplica(services, kms, row).catch(asFault);
  await services.failurePoints.pass('search-done');
  return { keyId: found?.owner === row.id ? found.described.key_id : null, unread: [] };
}

/** That KMS won't have the search is no word on the change: nothing may be taken back or dropped for it. */
export function asFault({ code, message, operation }: KmsFailure): never {
  throw new KmsFailure('fault', code, message, operation, true);
}

/**
 * Sends CreateKey, or ReplicateKey, and records the new key's identity before anything else is done with it; or, where nothing is, with the end of
 * the sync.
 * @throws KmsFailure; the journal then says whether the outcome is unknown.
 */
export async function applyCreate(
  services: Services,
  { kms, sender }: { kms: Kms; sender: Kms },
  work: Work,
  entry: JournalEntry<MakingStep>,
  { isLast }: { isLast: boolean },
): Promise<ObservedKey> {
  const { step } = entry;
  const made = await sendWrite(services, sender, work, entry, (permit) => createKey(sender, step, permit));
  const told = { ...entry, madeKeyId: made.key_id };
  // Where nothing is to be done with the key, and its tags need not be looked at, the end of the sync records it all.
  if (isLast && services.tagTrialOf(kms).isKept) {
    work.lease.unrecorded.push((transaction, end) => recordIdentity(services, transaction, work, told, made, end));
  } else await recordCreated(services, work, told, made);
  const reading = readMade(kms, made, step);
  // Where KMS takes its time to tell of the key, it is on record meanwhile.
  const isSlow = await Promise.race([reading.then(isQuick, isQuick), delay(longestReading, true, { ref: false })]);
  if (isSlow) await recordRest(services, work.lease);
  return reading;
}

const isQuick = () => false;

/** What the answer does not say is read. */
async function readMade(kms: Kms, made: MadeKey, step: MakingStep): Promise<ObservedKey> {
  const described = made.described ?? (await describeKey(kms, made.key_id));
  return afterCreate(knownOf(described), step, step.parameters.Policy ?? (await readPolicy(kms, described.key_id)));
}

type Identity = { arn: string; key_id: string; key_state: string | null };

/**
 * The identity goes into the row even when the lease is gone: it is true whoever holds it, and must not be lost. But where
 * another has recorded it, the row may have moved on: the key may be a former one by now, and is left alone.
 * @throws LeaseLost, also when the row names another key: what was done here is not to be recorded as that one's.
 */
async function recordCreated(services: Services, work: Work, entry: RecordedWrite, described: Identity): Promise<void> {
  const isOurs = await services.database.prisma.$transaction((transaction) =>
    recordIdentity(services, transaction, work, entry, described),
  );
  await services.failurePoints.pass('identity-recorded');
  if (!isOurs) throw new LeaseLost(work.row.id);
}

/**
 * @param end where that is the transaction.
 * @returns whether the lease is this work's, and the row names the key.
 */
async function recordIdentity(
  services: Services,
  transaction: Transaction,
  { row, lease }: Work,
  entry: RecordedWrite,
  { arn, key_id, key_state }: Identity,
  end?: SyncEnd,
): Promise<boolean> {
  // The row before the journal, as everywhere: in another order two workers could wait for each other.
  const current = end?.held ?? (await holdRow(transaction, { id: row.id }));
  const closed = await closeEntry(transaction, row, entry, 'done');
  // What nobody could tell of may be on record as a former key's by now.
  const before = closed ? closed.outcomeBefore : await outcomeOnRecord(transaction, entry.id);
  // An entry that a failover has lost says nothing: nobody has closed it.
  const isNews = closed !== null || before === null;
  const isWrittenAtEnd = end?.columns.key_id === key_id;
  // Whoever took the key into management before its answer was on record has it: this record is to have another.
  const isTaken = end === undefined && current?.key_id === null && (await findHolder(transaction, arn)) !== null;
  if (isNews && current?.key_id === null && !isTaken && !isWrittenAtEnd) {
    await writeHeldRow(transaction, row.id, { arn, key_id, key_state, creator: null });
  }
  if (entry.madeKeyId !== undefined && before !== null) await recordMade(transaction, entry.id, entry.madeKeyId);
  const named = current?.key_id ?? (isNews && !isTaken ? key_id : null);
  if (before !== 'done' && (current === null || named !== key_id)) {
    const data = { arn, arn_on_record: current?.arn ?? null };
    await recordEvent(transaction, { type: 'key.stray', key: row, data });
    services.log.error({ key: row.id, arn }, 'KMS made a key that no record names');
  }
  return current?.lease_token === lease.token && named === key_id;
}
