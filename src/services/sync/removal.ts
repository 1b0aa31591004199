/** The ends of a key: removed from Keyward, deleted by KMS, or gone without our doing. */

import { announceKeyChange } from '../../database/notifications.ts';
import type { KmsFailure } from '../../kms/errors.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { giveAliasesBack } from '../keys/aliases.ts';
import { findRevision } from '../keys/revisions.ts';
import type { Access } from '../providers/access.ts';
import { gapAndTimeIn } from '../recovery/hold.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isKnownLost } from '../rows/predicates.ts';
import { holdRow, removeRow } from '../rows/write.ts';
import { recordDriftEvents } from './drift.ts';
import { refuseErrands } from './errands.ts';
import { deleteFormerKeys } from './former-keys.ts';
import { recordRest } from './journal.ts';
import { LeaseLost, type Work } from './lease.ts';
import { doubtOf, nextLookAtLost } from './lost.ts';
import { finish, recordFailed, recordRetry } from './record.ts';
import { takeBack } from './refusal.ts';

/** Removes the record of a key that KMS never had, or that was released. Its history stays. */
export async function recordRemoved(services: Services, { row, lease }: Work): Promise<KeyRow | null> {
  await recordRest(services, lease);
  const next = await services.database.prisma.$transaction(async (transaction) => {
    if (!(await removeRow(transaction, { ...lease.fence, generation: row.generation }))) {
      const current = await holdRow(transaction, lease.fence);
      if (current === null) throw new LeaseLost(row.id);
      return current;
    }
    await transaction.revision.updateMany({
      where: { key_ref: row.id, outcome: 'pending' },
      data: { outcome: 'held', settled_at: new Date() },
    });
    await refuseErrands(transaction, row, { code: 'NotManaged', message: `The key is ${row.lifecycle} by now.` });
    const type = row.lifecycle === 'released' ? 'key.released' : 'key.removed';
    await recordEvent(transaction, { type, key: row, data: { arn: row.arn } });
    const by = { actor: 'keyward', requestId: 'none', ...(await gapAndTimeIn(transaction)) };
    await giveAliasesBack(services, transaction, row, by);
    await announceKeyChange(transaction, row.id);
    return null;
  });
  if (next === null) lease.stop();
  await services.failurePoints.pass('removal-recorded');
  return next;
}

/** Records that KMS did not find the key: that it is looked for again, or that it is gone. */
export async function recordGone(
  services: Services,
  access: Access,
  work: Work,
  failure: KmsFailure,
): Promise<KeyRow | null> {
  const { row } = work;
  const doubt = await doubtOf(services, access, row, failure);
  if (doubt !== null) {
    return recordRetry(services, work, doubt.failure, doubt.dueIn === undefined ? {} : { dueIn: doubt.dueIn });
  }
  // A new key that is lost before it was in place is no better than one that KMS refused.
  if (row.replacement === 'begun') return takeBack(services, work, failure);
  const hindrance = await deleteFormerKeys(services, access.kms, work);
  if (hindrance !== null && row.lifecycle !== 'managed') {
    return recordRetry(services, work, hindrance.failure, { dueIn: hindrance.dueAt.getTime() - services.now() });
  }
  if (row.lifecycle === 'pending_deletion') return recordDeleted(services, work);
  if (row.lifecycle === 'released') return recordRemoved(services, work);
  if (await isToBeTakenBack(services, row)) return takeBack(services, work, failure);
  const due_at = hindrance?.dueAt ?? nextLookAtLost(row, services.now());
  // One that is known to be lost, and is looked for now and then.
  const served = { due_at, served_observation: row.requested_observation, attempts: 0 };
  if (isKnownLost(row) && row.state === 'failed')
    return finish(services, work, served, 'sync-recorded', async () => {});
  const columns = {
    key_state: null,
    drift: [],
    deletion_date: null,
    errands_open: false,
    due_at,
  };
  return recordFailed(services, work, failure, columns, async (transaction) => {
    await recordDriftEvents(transaction, row, [], { isGone: true });
    await refuseErrands(transaction, row, failure);
  });
}

/** A change that came too late leaves nothing behind: the key is lost, or deleted, as KMS last held it. */
async function isToBeTakenBack(services: Services, { id, generation, synced_generation }: KeyRow): Promise<boolean> {
  if (synced_generation === 0 || generation === synced_generation) return false;
  return (await findRevision(services, id, generation))?.origin !== 'revert';
}

function recordDeleted(services: Services, work: Work): Promise<KeyRow | null> {
  const { row } = work;
  const columns = {
    state: 'deleted',
    key_state: null,
    due_at: null,
    attempts: 0,
    writes_open: false,
    errands_open: false,
    synced_generation: row.generation,
    served_observation: row.requested_observation,
    last_observed_at: new Date(),
    last_synced_at: new Date(),
  };
  return finish(services, work, columns, 'sync-recorded', async (transaction) => {
    await transaction.revision.updateMany({
      where: { key_ref: row.id, outcome: 'pending' },
      data: { outcome: 'held', settled_at: new Date() },
    });
    await refuseErrands(transaction, row, { code: 'KeyDeleted', message: 'KMS has deleted the key.' });
    await recordEvent(transaction, { type: 'key.deleted', key: row, data: { arn: row.arn } });
  });
}
