/** Waits for what becomes of a change. */

import { type RefusedCall, violationsBy } from '../../domain/refused-fields.ts';
import type { SyncError } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { lookUpKey } from '../keys/find.ts';
import { keyNotFound, refusedByKms } from '../problems.ts';
import { errorOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isLost } from '../rows/predicates.ts';

/**
 * How a change ended, or that it has not ended within the wait.
 * - held: KMS holds it.
 * - refused: KMS will not have it; it has been taken back.
 * - removed: the key's record is gone, as was asked.
 * - pending: it is recorded and goes on.
 */
export type Settlement =
  | { kind: 'held' | 'pending'; row: KeyRow }
  | { kind: 'refused'; row: KeyRow; error: SyncError; call: RefusedCall | null }
  | { kind: 'removed' };

type Ended = Exclude<Settlement, { kind: 'pending' }>;

/**
 * Waits until KMS holds the generation, or refuses it, or the time is up.
 * @param isStuck tells of what no wait will end.
 */
export async function waitForGeneration(
  services: Services,
  id: string,
  generation: number,
  waitMilliseconds: number,
  isStuck: (row: KeyRow) => boolean = () => false,
): Promise<Settlement> {
  const ended = await services.changes.waitFor(id, waitMilliseconds, async () => {
    const row = await lookUpKey(services, id);
    if (row !== undefined && isStuck(row)) return { kind: 'pending' as const, row };
    return lookAtGeneration(services, row, generation);
  });
  if (ended !== undefined) return ended;
  const row = await lookUpKey(services, id);
  if (row === undefined) return { kind: 'removed' };
  // A refused change whose taking back is still under way is refused all the same.
  return (await refusalOf(services, row, generation)) ?? { kind: 'pending', row };
}

async function lookAtGeneration(
  services: Services,
  row: KeyRow | undefined,
  generation: number,
): Promise<Ended | undefined> {
  if (row === undefined) return { kind: 'removed' };
  const isTakenBack = row.synced_generation === row.generation || row.state === 'failed';
  if (row.generation > generation || row.state === 'failed') {
    const refusal = await refusalOf(services, row, generation);
    if (refusal !== undefined) return isTakenBack ? refusal : undefined;
  }
  return row.synced_generation >= generation ? { kind: 'held', row } : undefined;
}

async function refusalOf(services: Services, row: KeyRow, generation: number): Promise<Ended | undefined> {
  const { prisma } = services.database;
  const revision = await prisma.revision.findUnique({
    where: { key_ref_generation: { key_ref: row.id, generation } },
  });
  if (revision === null || revision.outcome !== 'refused') return undefined;
  const call = await findRefusedCall(services, row);
  const error = revision.error as unknown as SyncError;
  return { kind: 'refused', row, error, call };
}

/** The latest write that KMS refused. */
async function findRefusedCall({ database }: Services, row: KeyRow): Promise<RefusedCall | null> {
  const write = await database.prisma.kmsWrite.findFirst({
    where: { key_ref: row.id, generation: { lte: row.generation }, outcome: { in: ['refused', 'not_done'] } },
    orderBy: { id: 'desc' },
    select: { operation: true, parameters: true, before: true },
  });
  return write as RefusedCall | null;
}

/** Waits until the key has been observed as often as was asked, or the time is up. */
export async function waitForObservation(
  services: Services,
  id: string,
  observation: number,
  waitMilliseconds: number,
): Promise<Settlement> {
  const row = await services.changes.waitFor(id, waitMilliseconds, async () => {
    const current = await lookUpKey(services, id);
    return current === undefined || current.served_observation >= observation ? (current ?? null) : undefined;
  });
  if (row === null) return { kind: 'removed' };
  if (row !== undefined) return { kind: 'held', row };
  const current = await lookUpKey(services, id);
  return current === undefined ? { kind: 'removed' } : { kind: 'pending', row: current };
}

/**
 * @param before the key before it was asked to be put right.
 * @throws ProblemError refused-by-kms when KMS refused a call that would have put it right.
 */
export async function assertPutRight(services: Services, before: KeyRow, settlement: Settlement): Promise<void> {
  if (settlement.kind !== 'held') return;
  const { row } = settlement;
  const error = errorOf(row);
  // A sync that is refused records no observation: an older refusal may still be on show.
  const isObserved = row.last_observed_at?.getTime() !== before.last_observed_at?.getTime();
  const isRefused = row.state === 'failed' ? !isLost(row) : !isObserved;
  if (!isRefused || error === null || error.retryable) return;
  const call = await findRefusedCall(services, row);
  const aftermath = `The key is ${row.state}; its status tells ${row.state === 'drifted' ? 'where' : 'why'}.`;
  throw refusal({ kind: 'refused', row, error, call }, aftermath);
}

/** The row of a key that is still there. @throws ProblemError when KMS refused the change, or the key is gone. */
export function keptRow(settlement: Settlement, id: string): { row: KeyRow; pending: boolean } {
  if (settlement.kind === 'removed') throw keyNotFound(id);
  if (settlement.kind === 'refused') throw refusal(settlement);
  return { row: settlement.row, pending: settlement.kind === 'pending' };
}

type Refused = Extract<Settlement, { kind: 'refused' }>;

/** The problem that tells of a refused change. */
export function refusal({ row, error, call }: Refused, aftermath = aftermathOf(row)) {
  const { code, message } = error;
  const operation = call?.operation ?? null;
  return refusedByKms({ code, message, operation }, row.id, aftermath, violationsBy(call, error));
}

function aftermathOf(row: KeyRow): string {
  if (row.synced_generation === row.generation) return 'The whole change was taken back.';
  return `The key is ${row.state}; its status tells what is going on.`;
}
