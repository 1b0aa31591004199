/** A held key is only looked at. It goes on by itself when KMS shows it as the database last recorded it. */
import { Prisma } from '../../database/client.ts';
import type { RecentWrite } from '../../domain/recent-writes.ts';
import { asRecorded, changedSince, type FoundAfterGap } from '../../domain/recorded.ts';
import type { ObservedKey } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { observeKey } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { type Access, accessToKey } from '../providers/access.ts';
import { declaredOf, desiredOf, errorOf, observedOf } from '../rows/declared.ts';
import { decidedOn } from '../rows/gap.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isHeldBack, isLookAskedFor, isLost } from '../rows/predicates.ts';
import { writeRow } from '../rows/write.ts';
import { searchAfterGap } from './first-creation.ts';
import { LeaseLost, type Work } from './lease.ts';
import { withUntold } from './look.ts';
import { nextLook } from './mode.ts';
import { finish } from './record.ts';
import { homeOf } from './replacement.ts';
import type { Ended } from './sync.ts';

/** Milliseconds by which the clocks that a write and an observation were told by may differ. */
const clockTolerance = 60_000;

/** Whether nothing may be written for the key that is being synced. */
export function isOnHold({ row, lease }: Work): boolean {
  return isHeldBack(row, lease.gap);
}

/**
 * Compares a held key with what was recorded of it.
 * @returns the work to go on with; null when the key stays held, or waits for nothing.
 * @throws KmsFailure, CreationUnsettled when that can't be told now; LeaseLost.
 */
export async function releaseHold(services: Services, work: Work): Promise<Work | Ended> {
  const { row, lease } = work;
  const access = await accessToKey(services, await homeOf(services, row));
  const found =
    row.key_id === null ? await findByTag(services, access, work) : await compare(services, access, row, row.key_id);
  if (found.differences.length > 0) return { next: await recordHeld(services, access, work, found) };
  const released = decidedOn(lease.gap);
  const waits = row.state !== 'failed' || isLookAskedFor(row);
  if (!waits) {
    const columns = { ...released, due_at: lease.dueBefore };
    return { next: await finish(services, work, columns, 'sync-recorded', async () => {}) };
  }
  const changed = await services.database.prisma.$transaction((transaction) =>
    writeRow(transaction, lease.fence, released),
  );
  if (changed === null) throw new LeaseLost(row.id);
  await services.failurePoints.pass('intent-recorded');
  return { ...work, row: changed, ...(found.observed === null ? {} : { seen: found.observed }) };
}

async function findByTag(services: Services, { kms }: Access, work: Work): Promise<FoundAfterGap> {
  const keyId = await searchAfterGap(services, kms, work.row);
  if (keyId === null) {
    services.unmade.add(work.row.id);
    return { observed: null, differences: [] };
  }
  const observed = await observeKey(kms, keyId, declaredOf(work.row));
  return { observed, differences: [{ field: 'key_id', recorded: null, observed: keyId }] };
}

async function compare(services: Services, access: Access, row: KeyRow, keyId: string): Promise<FoundAfterGap> {
  const read = await readKey(access, keyId, row);
  if (read === null) {
    // Its time had come, or it was lost before.
    const isExpected =
      isLost(row) ||
      (row.lifecycle === 'pending_deletion' &&
        row.deletion_date !== null &&
        row.deletion_date.getTime() < services.now());
    const differences = isExpected ? [] : [{ field: 'key_state', recorded: row.key_state, observed: null }];
    return { observed: null, differences };
  }
  const desired = desiredOf(row, access.settings, services.ownershipTagName);
  const whole = withUntold(row, desired, read);
  const recorded = asRecorded(observedOf(row), whole, await writesSince(services, row));
  const { name, value } = desired.ownership_tag;
  const isOwned = recorded.length === 0 ? row.synced_generation > 0 : recorded.some(({ tags }) => tags[name] === value);
  return { observed: read, differences: changedSince(desired, recorded, whole, { isOwned }) };
}

async function readKey({ kms }: Access, keyId: string, row: KeyRow): Promise<ObservedKey | null> {
  try {
    return await observeKey(kms, keyId, declaredOf(row));
  } catch (error) {
    if (error instanceof KmsFailure && error.kind === 'not_found') return null;
    throw error;
  }
}

/** What was written since the last observation, or may have been. */
function writesSince(services: Services, row: KeyRow): Promise<(RecentWrite & { isOpen: boolean })[]> {
  const since = new Date((row.last_observed_at?.getTime() ?? 0) - clockTolerance);
  return services.database.prisma.$queryRaw`
    SELECT operation, parameters, before, coalesce(finished_at, planned_at) AS finished_at, outcome IS DISTINCT FROM 'done' AS "isOpen"
    FROM kms_writes
    WHERE key_ref = ${row.id}::uuid AND (outcome IS NULL OR outcome IN ('done', 'unknown'))
      AND coalesce(finished_at, planned_at) > ${since}
    ORDER BY id`;
}

/** Puts on record what differs. What was recorded before the gap stays, to be compared with again. */
function recordHeld(
  services: Services,
  { settings }: Access,
  work: Work,
  found: FoundAfterGap,
): Promise<KeyRow | null> {
  const { row, lease } = work;
  const { observed } = found;
  const refresh = settings.refresh_interval_seconds * 1000;
  const now = services.now();
  const columns = {
    gap_checked: lease.gap,
    gap_found: found as unknown as Prisma.InputJsonObject,
    key_state: observed?.key_state ?? null,
    deletion_date: observed?.deletion_date == null ? null : new Date(observed.deletion_date),
    last_observed_at: new Date(now),
    due_at:
      observed === null
        ? new Date(now + refresh)
        : nextLook({ ...row, lifecycle: 'managed' }, observed, { now, settling: 0, refresh, isToBeMended: false }),
    attempts: 0,
    served_observation: row.requested_observation,
    ...(errorOf(row)?.retryable ? { error: Prisma.DbNull } : {}),
  };
  services.log.warn({ key: row.id, arn: row.arn, differences: found.differences }, 'the key is not as it was recorded');
  return finish(services, work, columns, 'sync-recorded', async () => {});
}
