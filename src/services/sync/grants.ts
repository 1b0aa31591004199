/**
 * Revokes and retires grants. Both may be sent again: of a grant that is gone KMS says so, and who has sent such a call before
 * knows by that, and by the list of grants, what became of it.
 */
import type { GrantEnding, Transaction } from '../../database/client.ts';
import type { EventData, KeyEvent } from '../../domain/events.ts';
import type { Step } from '../../domain/operations.ts';
import type { ObservedKey } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { findGrant, type Grant } from '../../kms/grants.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { statusMoves, writeWork } from '../rows/write.ts';
import { type Apply, carryOutInTurn, mayPass, recordLeft } from './errands.ts';
import { LeaseLost, type Work } from './lease.ts';
import type { Hindrance } from './retry.ts';

type Refusal = EventData['key.grant_end_refused']['error'];
type Ended = { grant: Grant | null } | { error: Refusal };

/**
 * Revokes and retires the grants that somebody asked to have revoked or retired.
 * @returns what hinders it; null: nothing is left to do.
 * @throws LeaseLost
 */
export async function endGrants(
  services: Services,
  kms: Kms,
  work: Work,
  key: ObservedKey,
  apply: Apply,
): Promise<Hindrance | null> {
  const { row } = work;
  // While the key is being replaced it can't be told yet whose grants are meant.
  if (!row.grants_open || row.replacement !== null) return null;
  const { grantEnding } = services.database.prisma;
  const asked = await grantEnding.findMany({
    where: { key_ref: row.id, outcome: 'pending' },
    orderBy: [{ created_at: 'asc' }, { id: 'asc' }],
  });
  const hindered = await carryOutInTurn(services, asked, async (ending) => {
    const ended = await endGrant(services, kms, { work, ending, key }, apply);
    await settle(services, work, ending, ended);
  });
  await recordLeft(services, work, 'grants_open', (transaction) =>
    transaction.grantEnding.count({ where: { key_ref: row.id, outcome: 'pending' } }),
  );
  await services.failurePoints.pass('grant-recorded');
  return hindered;
}

type Asked = { work: Work; ending: GrantEnding; key: ObservedKey };

/** @throws KmsFailure while it has to be tried again. */
async function endGrant(services: Services, kms: Kms, { ending, key }: Asked, apply: Apply): Promise<Ended> {
  const { operation, grant_id: GrantId } = ending;
  const grant = await findGrant(kms, key.key_id, GrantId);
  try {
    await apply(key, { operation: operation as GrantStep['operation'], field: null, parameters: { GrantId } });
    return { grant };
  } catch (error) {
    if (!(error instanceof KmsFailure) || !error.certainlyNotDone) throw error;
    if (error.kind === 'not_found') return asGone(services, kms, ending, key, error);
    if (mayPass(services, ending, error)) throw error;
    return refusedBy(error);
  }
}

type GrantStep = Extract<Step, { operation: 'RevokeGrant' | 'RetireGrant' }>;

/** KMS says that there is no such grant: an earlier call has ended it, or there was none. */
async function asGone(
  services: Services,
  kms: Kms,
  ending: GrantEnding,
  { key_id }: ObservedKey,
  refusal: KmsFailure,
): Promise<Ended> {
  if ((await findGrant(kms, key_id, ending.grant_id)) !== null) {
    const message = `${refusal.message.replace(/[^.!?]$/, '$&.')} And yet ListGrants shows the grant; Keyward asks again`;
    throw new KmsFailure('fault', 'GrantUntold', message, refusal.operation, true);
  }
  return (await wasSentBefore(services, ending)) ? { grant: null } : refusedBy(refusal);
}

function refusedBy({ code, message, operation }: KmsFailure): Ended {
  return { error: { code, message, operation } };
}

/** Whether a call of which nobody can tell whether it took effect was to end the grant: ids of grants never come back. */
async function wasSentBefore({ database }: Services, { key_ref, grant_id }: GrantEnding): Promise<boolean> {
  const found = await database.prisma.$queryRaw<unknown[]>`
    SELECT 1 FROM kms_writes WHERE key_ref = ${key_ref}::uuid AND outcome = 'unknown'
      AND operation IN ('RevokeGrant', 'RetireGrant') AND parameters ->> 'GrantId' = ${grant_id} LIMIT 1`;
  return found.length > 0;
}

/** Refuses all that is asked of the grants of a KMS key that is not the record's any more. */
export async function refuseGrantEndings(
  transaction: Transaction,
  row: Pick<KeyRow, 'id' | 'generation'>,
  { code, message }: { code: string; message: string },
): Promise<void> {
  const asked = await transaction.grantEnding.findMany({ where: { key_ref: row.id, outcome: 'pending' } });
  for (const ending of asked) await recordSettled(transaction, row, ending, { error: { code, message } });
}

async function settle(services: Services, { row, lease }: Work, ending: GrantEnding, ended: Ended): Promise<void> {
  await services.database.prisma.$transaction(async (transaction) => {
    if (!(await writeWork(transaction, lease.fence, statusMoves))) throw new LeaseLost(row.id);
    await recordSettled(transaction, row, ending, ended);
  });
  await services.failurePoints.pass('grant-recorded');
}

async function recordSettled(
  transaction: Transaction,
  row: Pick<KeyRow, 'id' | 'generation'>,
  { id, operation, grant_id, actor, request_id }: GrantEnding,
  ended: Ended,
): Promise<void> {
  const settled = 'error' in ended ? { outcome: 'refused', error: ended.error } : { outcome: 'done' };
  await transaction.grantEnding.update({ where: { id }, data: { ...settled, settled_at: new Date() } });
  const data = { operation, grant_id, request: id };
  const type = operation === 'RevokeGrant' ? 'key.grant_revoked' : 'key.grant_retired';
  const event: KeyEvent =
    'error' in ended
      ? { type: 'key.grant_end_refused', key: row, data: { ...data, error: ended.error } }
      : { type, key: row, data: { ...data, grant: ended.grant } };
  await recordEvent(transaction, event, { actor, requestId: request_id });
}
