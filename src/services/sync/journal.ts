/** The journal of KMS writes (I1): each is on record before it is sent, and its outcome afterwards. */
import { v7 as uuidv7 } from 'uuid';
import type { KeyRow, KmsWrite, Prisma, Transaction } from '../../database/client.ts';
import type { Step } from '../../domain/types.ts';
import { landsWithin } from '../../kms/client.ts';
import type { KmsFailure } from '../../kms/errors.ts';
import type { Services } from '../context.ts';
import { type Lease, LeaseLost } from './lease.ts';

/**
 * - done: KMS carried it out.
 * - refused: KMS answered that it will not.
 * - not_done: it surely had no effect.
 * - unknown: nobody can tell. After a CreateKey, the ownership tag will tell.
 * - skipped: it was never sent.
 */
export type Outcome = 'done' | 'refused' | 'not_done' | 'unknown' | 'skipped';

export type JournalEntry = { id: string; step: Step };

/** Who asked for the generation that a write serves. */
type Write = { row: KeyRow; lease: Lease };

/**
 * Puts the steps on record before the first of them is sent.
 * @throws LeaseLost
 */
export async function openJournal(services: Services, { row, lease }: Write, steps: Step[]): Promise<JournalEntry[]> {
  const entries = steps.map((step) => ({ id: uuidv7(), step }));
  await services.database.prisma.$transaction(async (transaction) => {
    await assertFenced(transaction, lease);
    await transaction.kmsWrite.createMany({
      data: entries.map(({ id, step }) => ({
        id,
        key_ref: row.id,
        generation: row.generation,
        operation: step.operation,
        parameters: step.parameters as Prisma.InputJsonObject,
        lease_token: lease.token,
        lands_until: new Date(Date.now() + landsWithin),
      })),
    });
  });
  return entries;
}

/** Statements that put the outcome of one write on record, with its event; for one transaction. */
export async function closeEntry(
  transaction: Transaction,
  row: Pick<KeyRow, 'id' | 'generation'>,
  entry: { id: string; step: { operation: string; parameters: unknown } },
  outcome: Outcome,
  failure?: KmsFailure,
): Promise<void> {
  const error = failure === undefined ? {} : { error: { code: failure.code, message: failure.message } };
  await transaction.kmsWrite.update({
    where: { id: entry.id },
    data: { outcome, finished_at: new Date(), ...error },
  });
  if (outcome === 'skipped') return;
  await transaction.event.create({
    data: {
      key_ref: row.id,
      type: 'kms.write',
      generation: row.generation,
      actor: 'keyward',
      data: {
        operation: entry.step.operation,
        parameters: entry.step.parameters as Prisma.InputJsonObject,
        outcome,
        ...error,
      },
    },
  });
}

/** Writes whose outcome is not settled: left by a worker that was cut off, or CreateKey calls that nobody can tell of. */
export function findOpenWrites(services: Services, keyId: string): Promise<KmsWrite[]> {
  return services.database.prisma.kmsWrite.findMany({
    where: { key_ref: keyId, OR: [{ outcome: null }, { outcome: 'unknown', operation: 'CreateKey' }] },
    orderBy: { id: 'asc' },
  });
}

/** @throws LeaseLost when the row's lease is another's. Holds the row until the transaction ends. */
export async function assertFenced(transaction: Transaction, lease: Lease): Promise<void> {
  const { count } = await transaction.key.updateMany({ where: lease.fence, data: { writes_open: true } });
  if (count === 0) throw new LeaseLost(lease.keyId);
}
