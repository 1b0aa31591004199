/**
 * Before a record's first CreateKey. That the database knows of no key proves nothing: it may have been restored from a
 * backup that is older than the key, or have lost its last commits in a failover.
 */

import { timeInUuid } from '../../domain/uuid.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { describeKey } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { timeUntilGapSettled } from '../recovery/hold.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { makingOf } from '../rows/relatives.ts';
import { writeRow } from '../rows/write.ts';
import { asFault, assertNoSuspects, CreationUnsettled, search } from './creation.ts';
import { isMadeByUs } from './journal.ts';
import { LeaseLost, type Work } from './lease.ts';
import { assertAdoptable, findReplica } from './replication.ts';

/**
 * Looks for the key of a record that has none, unless this process knows that there is none.
 * @returns the row, with the key's identity where the search by ownership tag found the key.
 * @throws KmsFailure when the search fails, a key that can't be read may be the one, or one is to be deleted that nothing proves
 * to be the record's; LeaseLost.
 */
export async function findFormerCreation(services: Services, kms: Kms, work: Work): Promise<KeyRow> {
  const { row } = work;
  if (row.key_id !== null || services.unmade.take(row.id)) return row;
  if (services.failurePoints.isOff('no-search-before-create')) return row;
  const keyId = await searchAfterGap(services, kms, row);
  if (keyId === null) return row;
  if (row.lifecycle === 'pending_deletion') await assertProven(services, row, keyId);
  return recordFound(services, kms, work, keyId);
}

/**
 * Takes a replica that the Region has already, by the rules of an import: the sync then makes it as declared.
 * @returns the row, with the key's identity then.
 * @throws KmsFailure where it is somebody else's; LeaseLost.
 */
export async function adoptReplica(services: Services, kms: Kms, work: Work): Promise<KeyRow> {
  const { row } = work;
  if (row.replica_of === null || row.key_id !== null || row.lifecycle !== 'managed') return row;
  const found = await findReplica(services, kms, row).catch(asFault);
  if (found === null) return row;
  await assertAdoptable(services, row, found);
  return recordFound(services, kms, work, found.described.key_id);
}

/** The code of the error of a record that is to be deleted, and whose key only its tag tells to be this record's. */
export const keyNotProven = 'KeyNotProven';

/** Only what is ours is destroyed (I11). @throws KmsFailure */
async function assertProven(services: Services, row: KeyRow, keyId: string): Promise<void> {
  const { id } = row;
  if (await isMadeByUs(services, id, keyId)) return;
  const message = `KMS has the key ${keyId} with the ownership tag of this record, and no ${makingOf(row)} on record made it; whoever may tag keys can have done that. Its deletion is not scheduled until somebody says whose it is: POST /v1/keys/${id}/resolve`;
  throw new KmsFailure('refused', keyNotProven, message, 'ListResourceTags', true);
}

/**
 * Looks for the key of a record that names none.
 * @throws CreationUnsettled while a key of before a gap may not be seen yet, KmsFailure.
 */
export async function searchAfterGap(services: Services, kms: Kms, row: KeyRow): Promise<string | null> {
  const left = await timeUntilGapSettled(services.database.prisma, services.times);
  const { keyId, unread } = await search(services, kms, row, idTakenAt(row));
  if (keyId !== null) return keyId;
  await assertNoSuspects(services, unread, row.created_at);
  if (left <= 0) return null;
  const message =
    'The database may be older than the key; Keyward looks for it until calls of before can no longer land';
  throw new CreationUnsettled(new Date(services.now() + left), message);
}

/** An id may be older than its record: an Idempotency-Key keeps it, and so does a caller who chose it. */
function idTakenAt({ id, created_at }: KeyRow): Date {
  return new Date(Math.min(created_at.getTime(), timeInUuid(id) ?? 0));
}

async function recordFound(services: Services, kms: Kms, { row, lease }: Work, keyId: string): Promise<KeyRow> {
  const { arn, key_id, key_state } = await describeKey(kms, keyId).catch(asFault);
  const found = await services.database.prisma.$transaction(async (transaction) => {
    const changed = await writeRow(
      transaction,
      { ...lease.fence, key_id: null },
      { arn, key_id, key_state, creator: null },
    );
    if (changed === null) throw new LeaseLost(row.id);
    await recordEvent(transaction, { type: 'key.found', key: row, data: { arn } });
    return { ...row, arn, key_id, key_state };
  });
  await services.failurePoints.pass('identity-recorded');
  services.log.warn({ key: row.id, arn }, 'KMS has a key of which the database did not know');
  return found;
}
