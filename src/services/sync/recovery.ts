/** Settles what a worker that was cut off, or a call without an answer, left in the journal. */
import type { KmsWrite } from '../../database/client.ts';
import { makesKey } from '../../domain/operations.ts';
import type { Kms } from '../../kms/client.ts';
import type { Services } from '../context.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { settleCreations } from './creation.ts';
import { assertFenced, closeEntry, type Outcome } from './journal.ts';
import type { Work } from './lease.ts';
import { findOpenWrites } from './open-writes.ts';
import { askDeclarers } from './overtaken-aliases.ts';

/**
 * Gives every open write an outcome before anything else is done with the key.
 * @returns the row, with the key's identity where a search by ownership tag found the key.
 * @throws CreationUnsettled when CreateKey may still land, KmsFailure when the search fails.
 */
export async function settleOpenWrites(services: Services, kms: Kms, work: Work): Promise<KeyRow> {
  if (!work.row.writes_open) return work.row;
  const open = await findOpenWrites(services, work.row.id);
  const row = await withIdentity(services, work.row);
  const creations = open.filter(({ operation }) => makesKey(operation));
  const unanswered = new Set(firstOfEachWorker(open));
  const others = open.filter((write) => !creations.includes(write));
  await closeAll(services, work, others, (write) => (unanswered.has(write) ? 'unknown' : 'skipped'));
  if (creations.length === 0) return row;
  const found = row.key_id === null ? await settleCreations(services, kms, work, creations) : null;
  if (found !== null) return found;
  await closeAll(services, work, creations, () => 'not_done');
  if (row.key_id === null) services.unmade.add(row.id);
  return row;
}

/** A worker that was replaced may have recorded the key that it made since this one took the row. */
async function withIdentity(services: Services, row: KeyRow): Promise<KeyRow> {
  if (row.key_id !== null) return row;
  const select = { arn: true, key_id: true };
  return { ...row, ...(await services.database.prisma.key.findUnique({ where: { id: row.id }, select })) };
}

/** A worker sends its writes in order, each when the one before has an outcome: only the first can have been sent. */
function firstOfEachWorker(open: KmsWrite[]): KmsWrite[] {
  return [...Map.groupBy(open, ({ lease_token }) => lease_token).values()].flatMap((writes) => writes.slice(0, 1));
}

async function closeAll(
  services: Services,
  { row, lease }: Work,
  writes: KmsWrite[],
  outcome: (write: KmsWrite) => Outcome,
): Promise<void> {
  if (writes.length === 0) return;
  await services.database.prisma.$transaction(async (transaction) => {
    await assertFenced(transaction, lease);
    for (const write of writes) await closeEntry(transaction, row, { id: write.id, step: write }, outcome(write));
  });
  await services.failurePoints.pass('open-write-settled');
  const unknown = writes.filter((write) => outcome(write) === 'unknown');
  await askDeclarers(services, row, unknown);
}
