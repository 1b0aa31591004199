/**
 * Which key of a multi-Region family is the primary. UpdatePrimaryRegion swaps the roles of two keys, and is told by each key of
 * the family: whoever sees it has all records of the family follow, in one transaction that takes their rows in the order of
 * their ids. No lease but its own is needed for that: what others are at goes round once more.
 */
import type { Prisma, Transaction } from '../../database/client.ts';
import { nextGeneration } from '../../domain/gap.ts';
import type { ObservedKey, Step } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { describeKey } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { findHolder } from '../keys/find.ts';
import { recordRevision } from '../keys/revision-record.ts';
import { declaredOf, observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isSynced, stateWhileSyncing } from '../rows/predicates.ts';
import { primaryNameOf } from '../rows/relatives.ts';
import { type Columns, holdRow, oneMoreAsked, statusMoves, writeHeldRow } from '../rows/write.ts';
import { LeaseLost } from './lease.ts';
import { applyAll } from './steps.ts';
import type { Ended, Sync } from './sync.ts';

const isPrimary = ({ arn, primary_arn }: Pick<ObservedKey, 'arn' | 'primary_arn'>) => arn === primary_arn;

/** Makes a replica the primary key where somebody asked for that. @throws KmsFailure */
export async function promote(sync: Sync): Promise<Sync> {
  const { services, access, work, reached } = sync;
  const { row } = work;
  if (row.replica_of === null || reached === null || isSynced(row) || row.lifecycle !== 'managed') return sync;
  if (isPrimary(reached) || !(await isPromotionAsked(services, row))) return sync;
  const parameters = { PrimaryRegion: access.kms.region };
  const step: Step = { operation: 'UpdatePrimaryRegion', field: null, parameters };
  const promoted = await applyAll(services, access.kms, work, reached, [step]).catch(async (error) => {
    // An earlier call, or somebody else, may have done it.
    if (!(error instanceof KmsFailure) || error.code !== 'UnsupportedOperationException') throw error;
    const { primary_arn, replica_arns } = await describeKey(access.kms, reached.key_id);
    if (primary_arn !== reached.arn) throw error;
    return { ...reached, primary_arn, replica_arns };
  });
  return { ...sync, steps: [...sync.steps, step], reached: promoted };
}

/** Whether a generation that KMS does not hold yet asks for it. */
async function isPromotionAsked({ database }: Services, { id }: KeyRow): Promise<boolean> {
  const asked = { key_ref: id, origin: 'promote', outcome: 'pending' };
  return (await database.prisma.revision.findFirst({ where: asked, select: { generation: true } })) !== null;
}

/**
 * Has the records of the family follow what KMS tells of their roles. For a while after that a look that says otherwise is taken
 * to be older (I6).
 * @throws LeaseLost
 */
export async function followRoles(sync: Sync): Promise<Sync | Ended> {
  const { services, work, reached } = sync;
  const { row } = work;
  if (reached === null || reached.primary_arn === null || row.lifecycle === 'released') return sync;
  const known = observedOf(row)?.primary_arn ?? null;
  // While roles change, KMS may tell of neither key that it is the primary.
  if (reached.key_state === 'Updating' && known !== null)
    return { ...sync, reached: { ...reached, primary_arn: known } };
  const isKnown = known === null || known === reached.primary_arn;
  // The replicas of a key that is new here may have been there before it.
  const isNews = known === null && isPrimary(reached) && reached.replica_arns.length > 0;
  if (isKnown && !isNews && (await linkOf(services, reached)) === row.replica_of) return sync;
  const isAsked = row.replica_of !== null && isPrimary(reached) && (await isPromotionAsked(services, row));
  if (!isKnown && !isAsked && (await hasJustChanged(services, row))) {
    return { ...sync, reached: { ...reached, primary_arn: known } };
  }
  const next = await services.database.prisma.$transaction((transaction) =>
    followIn(transaction, sync, reached, isAsked ? 'promote' : 'drift'),
  );
  await services.failurePoints.pass('roles-recorded');
  if (next === null) throw new LeaseLost(row.id);
  return next.generation === row.generation
    ? { ...sync, work: { ...work, row: { ...next, asked: row.asked } } }
    : { next };
}

/** The record of a key's primary; null: it is that itself, or there is none. */
async function linkOf({ database }: Services, { arn, primary_arn }: ObservedKey): Promise<string | null> {
  if (primary_arn === null || primary_arn === arn) return null;
  return (await findHolder(database.prisma, primary_arn))?.id ?? null;
}

async function hasJustChanged({ database, times, now }: Services, { id }: KeyRow): Promise<boolean> {
  const since = new Date(now() - times.settle);
  const changed = { key_ref: id, type: 'key.role_changed', created_at: { gt: since } };
  return (await database.prisma.event.findFirst({ where: changed, select: { seq: true } })) !== null;
}

type Origin = 'promote' | 'drift';

/** @returns the row of the key that is synced, as it is then; null: the lease is another's. */
async function followIn(
  transaction: Transaction,
  { work: { row, lease } }: Sync,
  reached: ObservedKey,
  origin: Origin,
): Promise<KeyRow | null> {
  const family: KeyRow[] = [];
  for (const id of await familyOf(transaction, row, reached)) {
    const member = await holdRow(transaction, id === row.id ? lease.fence : { id });
    if (member === null && id === row.id) return null;
    if (member !== null) family.push(member);
  }
  const primary = family.find(({ arn }) => arn === reached.primary_arn);
  const before = family.find((member) => member.id !== primary?.id && primaryNameOf(member) === null);
  for (const member of family) {
    const replica_of = member.id === primary?.id ? null : (primary?.id ?? null);
    const role = member.arn === reached.primary_arn ? 'primary' : 'replica';
    const roleBefore = primaryNameOf(member) === null ? 'primary' : 'replica';
    if (role === roleBefore && replica_of === member.replica_of) continue;
    const moves = member.id === row.id ? {} : { ...oneMoreAsked, due_at: new Date() };
    await writeHeldRow(transaction, member.id, { replica_of, ...seenIn(member, reached), ...statusMoves, ...moves });
    if (role !== roleBefore) await recordRole(transaction, member, { role, replica_of, origin });
  }
  if (primary !== undefined && before !== undefined && primaryNameOf(primary) !== null) {
    await takeRotationOver(transaction, { primary, before, gap: lease.gap }, origin);
  }
  return holdRow(transaction, lease.fence);
}

/** The ids of the records that a change of roles concerns, replicas that are still to be made too, in their order. */
async function familyOf(transaction: Transaction, { id, replica_of }: KeyRow, key: ObservedKey): Promise<string[]> {
  const arns = [key.arn, ...(key.primary_arn === null ? [] : [key.primary_arn]), ...key.replica_arns];
  const where = {
    OR: [
      { arn: { in: arns }, state: { not: 'deleted' } },
      { id: { in: [id, ...(replica_of === null ? [] : [replica_of])] } },
    ],
  };
  const told = (await transaction.key.findMany({ where, select: { id: true } })).map((record) => record.id);
  const waiting = { replica_of: { in: told }, state: { not: 'deleted' } };
  const others = await transaction.key.findMany({ where: waiting, select: { id: true } });
  return [...new Set([...told, ...others.map((record) => record.id)])].sort();
}

function seenIn(member: KeyRow, { primary_arn }: ObservedKey): Columns {
  const observed = observedOf(member);
  return observed === null ? {} : { observed: { ...observed, primary_arn } as unknown as Prisma.InputJsonObject };
}

type Role = { role: 'primary' | 'replica'; replica_of: string | null; origin: Origin };

/** Where somebody else changed it, that is drift, which ends with the record's following. */
async function recordRole(transaction: Transaction, member: KeyRow, { role, replica_of, origin }: Role): Promise<void> {
  const changes = { replica_of: { before: member.replica_of, after: replica_of } };
  if (origin === 'drift') {
    const entry = { field: 'replica_of', observed: replica_of, since: new Date().toISOString() };
    const found = { drift: [{ ...entry, desired: member.replica_of }] };
    await recordEvent(transaction, { type: 'drift.detected', key: member, data: found });
    const gone = { drift: [{ ...entry, desired: replica_of }] };
    await recordEvent(transaction, { type: 'drift.resolved', key: member, data: gone });
  }
  await recordEvent(transaction, { type: 'key.role_changed', key: member, data: { origin, role, changes } });
}

/** What a primary alone declares goes over to the new one with its role: KMS has it so already. */
async function takeRotationOver(
  transaction: Transaction,
  { primary, before, gap }: { primary: KeyRow; before: KeyRow; gap: number },
  origin: Origin,
): Promise<void> {
  const { enable_key_rotation, rotation_period_in_days } = before;
  const rotation = { enable_key_rotation, rotation_period_in_days };
  const isSame =
    primary.enable_key_rotation === enable_key_rotation && primary.rotation_period_in_days === rotation_period_in_days;
  if (isSame) return;
  const generation = nextGeneration(primary.generation, gap);
  const declared = { ...declaredOf(primary), ...rotation };
  const state = stateWhileSyncing(primary, declared);
  const columns = { ...rotation, generation, state, due_at: new Date(), ...oneMoreAsked, updated_at: new Date() };
  await writeHeldRow(transaction, primary.id, columns);
  const revision = { keyId: primary.id, generation, origin, declared, before: declaredOf(primary) };
  await recordRevision(transaction, revision, { actor: 'keyward', requestId: 'none' });
}
