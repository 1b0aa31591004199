/** Exactly one key (I3): CreateKey can't be repeated safely, so what became of earlier calls is found out first. */
import type { KeyRow, KmsWrite } from '../../database/client.ts';
import { afterCreate } from '../../domain/after-step.ts';
import type { CreateKeyParameters, ObservedKey, Step } from '../../domain/types.ts';
import { createKey } from '../../kms/apply.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure, toKmsFailure } from '../../kms/errors.ts';
import { type DescribedKey, describeKey, readPolicy } from '../../kms/observe.ts';
import { searchByListing } from '../../kms/ownership.ts';
import type { Services } from '../context.ts';
import { assertFenced, closeEntry, findOpenWrites, type JournalEntry } from './journal.ts';
import { LeaseLost } from './lease.ts';
import type { Work } from './record.ts';

/** An earlier CreateKey may still take effect: nothing may be created before `until`. */
export class CreationUnsettled extends Error {
  readonly until: Date;

  constructor(until: Date) {
    super('An earlier CreateKey has an unknown outcome; Keyward looks for its key before it makes another');
    this.until = until;
  }
}

/**
 * Settles what a worker that was cut off, or a call without an answer, left in the journal.
 * @returns the row, with the key's identity where a search by ownership tag found the key.
 * @throws CreationUnsettled when CreateKey may still land, KmsFailure when the search fails.
 */
export async function settleOpenWrites(services: Services, kms: Kms, work: Work): Promise<KeyRow> {
  if (!work.row.writes_open) return work.row;
  const open = await findOpenWrites(services, work.row.id);
  const creations = open.filter(({ operation }) => operation === 'CreateKey');
  for (const write of open.filter(({ operation }) => operation !== 'CreateKey')) {
    await close(services, work, write, 'unknown');
  }
  if (creations.length === 0 || work.row.key_id !== null) {
    for (const write of creations) await close(services, work, write, 'not_done');
    return work.row;
  }
  return settleCreations(services, kms, work, creations);
}

async function settleCreations(services: Services, kms: Kms, work: Work, creations: KmsWrite[]): Promise<KeyRow> {
  const { row } = work;
  const search = searchByListing(kms, services.ownershipTagName);
  const found = await search.find(row.id, (keyIds) => knownKeyIds(services, keyIds));
  const [keyId, ...others] = found;
  if (others.length > 0) {
    const message = `Several KMS keys carry the ownership tag of this key: ${found.join(', ')}`;
    throw new KmsFailure('fault', 'DuplicateKeys', message, 'ListResourceTags', true);
  }
  if (keyId === undefined) {
    const until = new Date(Math.max(...creations.map((write) => write.lands_until.getTime())));
    if (until.getTime() > Date.now()) throw new CreationUnsettled(until);
    for (const write of creations) await close(services, work, write, 'not_done');
    return row;
  }
  const described = await describeKey(kms, keyId);
  for (const write of creations) await recordCreated(services, work, entryOf(write), described);
  services.log.info({ key: row.id, arn: described.arn }, 'found the key that an earlier CreateKey had made');
  return { ...row, arn: described.arn, key_id: described.key_id };
}

async function knownKeyIds(services: Services, keyIds: string[]): Promise<Set<string>> {
  const rows = await services.database.prisma.key.findMany({
    where: { key_id: { in: keyIds } },
    select: { key_id: true },
  });
  return new Set(rows.flatMap(({ key_id }) => (key_id === null ? [] : [key_id])));
}

function close(services: Services, { row, lease }: Work, write: KmsWrite, outcome: 'unknown' | 'not_done') {
  return services.database.prisma.$transaction(async (transaction) => {
    await assertFenced(transaction, lease);
    await closeEntry(transaction, row, entryOf(write), outcome);
  });
}

function entryOf(write: KmsWrite) {
  return { id: write.id, step: { operation: write.operation, parameters: write.parameters } };
}

/**
 * Sends CreateKey and records the new key's identity before anything else is done with it.
 * @throws KmsFailure; the journal then says whether the outcome is unknown.
 */
export async function applyCreate(
  services: Services,
  kms: Kms,
  work: Work,
  entry: JournalEntry & { step: Extract<Step, { operation: 'CreateKey' }> },
): Promise<ObservedKey> {
  const { parameters } = entry.step;
  work.lease.assertHeld();
  let described: DescribedKey;
  try {
    described = await createKey(kms, parameters);
  } catch (error) {
    const failure = toKmsFailure(error, 'CreateKey');
    const outcome = !failure.certainlyNotDone ? 'unknown' : failure.kind === 'refused' ? 'refused' : 'not_done';
    await services.database.prisma.$transaction((transaction) =>
      closeEntry(transaction, work.row, entry, outcome, failure),
    );
    throw failure;
  }
  await recordCreated(services, work, entry, described);
  return afterCreate(described, parameters, await policyOf(kms, described, parameters));
}

async function policyOf(kms: Kms, described: DescribedKey, { Policy }: CreateKeyParameters) {
  return Policy ?? (await readPolicy(kms, described.key_id));
}

/** The identity goes into the row even when the lease is gone: it is true whoever holds it, and must not be lost. */
async function recordCreated(
  services: Services,
  { row, lease }: Work,
  entry: { id: string; step: { operation: string; parameters: unknown } },
  described: DescribedKey,
): Promise<void> {
  const { arn, key_id, key_state } = described;
  const stillHeld = await services.database.prisma.$transaction(async (transaction) => {
    await transaction.key.updateMany({ where: { id: row.id, key_id: null }, data: { arn, key_id, key_state } });
    await closeEntry(transaction, row, entry, 'done');
    return transaction.key.count({ where: lease.fence });
  });
  if (stillHeld === 0) throw new LeaseLost(row.id);
}
