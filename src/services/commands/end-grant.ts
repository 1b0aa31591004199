/** Asks that a grant is revoked, or retired. The sync of the key carries it out. */
import { v7 as uuidv7 } from 'uuid';
import type { GrantEnding, Transaction } from '../../database/client.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { findKey } from '../keys/find.ts';
import { assertManaged, assertMatches, assertNotLost, assertSettledInKms } from '../keys/preconditions.ts';
import { type KmsError, keyNotFound, ProblemError, refusedByKms } from '../problems.ts';
import { ask } from '../rows/ask.ts';
import type { KeyRow } from '../rows/key-row.ts';
import type { Accepted, Command } from './declare.ts';

/** RevokeGrant is for who manages the key; RetireGrant for the retiring principal of the grant. */
export type GrantEnd = { operation: 'RevokeGrant' | 'RetireGrant'; grantId: string };

/**
 * Revokes or retires a grant now.
 * @throws ProblemError not-found, also where KMS has no such grant; stale-generation, conflict; refused-by-kms with KMS's words.
 */
export async function endGrant(services: Services, id: string, end: GrantEnd, command: Command): Promise<Accepted> {
  const row = await findKey(services, id);
  const endingId = command.commandId ?? uuidv7();
  if (!(await isRecorded(services.database.prisma, endingId))) {
    assertMatches(row, command.ifMatch);
    assertManaged(row);
    assertSettledInKms(row);
    assertNotLost(row);
    await record(services, row, { ...end, id: endingId }, command);
  }
  const settled = await services.changes.waitFor(id, command.wait, async () => {
    const ending = await services.database.prisma.grantEnding.findUnique({ where: { id: endingId } });
    return ending !== null && ending.outcome !== 'pending' ? ending : undefined;
  });
  if (settled?.outcome === 'refused') throw refusal(settled);
  return { row: await findKey(services, id), pending: settled === undefined };
}

/** Whether an earlier run of the same request had recorded it, and was cut off before it answered. */
async function isRecorded({ grantEnding }: Pick<Transaction, 'grantEnding'>, id: string): Promise<boolean> {
  return (await grantEnding.findUnique({ where: { id } })) !== null;
}

/** An observation is asked for along with it: a sync that is under way then comes back to the key. */
async function record(services: Services, row: KeyRow, end: GrantEnd & { id: string }, by: Command): Promise<void> {
  const { id, operation, grantId: grant_id } = end;
  await services.database.prisma.$transaction(async (transaction) => {
    // Another run of the same request may have been faster.
    if (await isRecorded(transaction, id)) return;
    if ((await ask(transaction, row.id, 'end-grant')) === null) throw keyNotFound(row.id);
    const asked = { key_ref: row.id, operation, grant_id, actor: by.actor, request_id: by.requestId };
    await transaction.grantEnding.create({ data: { id, ...asked } });
    const data = { operation, grant_id, request: id };
    await recordEvent(transaction, { type: 'key.grant_end_requested', key: row, data }, by);
    await services.notifications.wake(transaction, row);
  });
  await services.failurePoints.pass('intent-recorded');
}

function refusal({ error, grant_id, key_ref }: GrantEnding): ProblemError {
  // What never got as far as a call has no operation on record.
  const kmsError: KmsError = { operation: null, ...(error as Omit<KmsError, 'operation'>) };
  if (kmsError.code !== 'NotFoundException') return refusedByKms(kmsError, key_ref, 'The grant is as it was.');
  const detail = `KMS has no grant ${JSON.stringify(grant_id)} of this key: ${kmsError.message}`;
  return new ProblemError('not-found', detail, { keyId: key_ref, kmsError });
}
