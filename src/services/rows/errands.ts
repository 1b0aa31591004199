/** What was asked of a key beside what is declared: every write of the table `errands`, and every question to it. */
import type { ClientBase, Pool } from 'pg';
import type { Errand as ErrandRow, Prisma, Transaction } from '../../database/client.ts';
import type { Errand, ErrandError, RecordedErrand } from '../../domain/errands.ts';

/** A row of the table, with what is asked by its type. */
export type KeyErrand = Omit<ErrandRow, 'operation' | 'parameters'> & RecordedErrand;

type Errands = Pick<Transaction, 'errand'>;

/** Puts on record what is asked. */
export async function addErrand(
  { errand }: Errands,
  asked: Pick<ErrandRow, 'id' | 'key_ref' | 'actor' | 'request_id'> & Pick<Errand, 'operation' | 'parameters'>,
): Promise<void> {
  await errand.create({ data: asked });
}

export async function findErrand({ errand }: Errands, id: string): Promise<KeyErrand | null> {
  return (await errand.findUnique({ where: { id } })) as KeyErrand | null;
}

/** Those of a key that are left to do, oldest first. */
export async function pendingErrands({ errand }: Errands, key_ref: string): Promise<KeyErrand[]> {
  const where = { key_ref, outcome: 'pending' };
  return (await errand.findMany({ where, orderBy: [{ created_at: 'asc' }, { id: 'asc' }] })) as KeyErrand[];
}

/** The last rotation that was made of a key. @param since null: of all time. */
export function lastRotation({ errand }: Errands, key_ref: string, since: Date | null): Promise<ErrandRow | null> {
  const done = { key_ref, operation: 'RotateKeyOnDemand', outcome: 'done' };
  const where = since === null ? done : { ...done, settled_at: { gt: since } };
  return errand.findFirst({ where, orderBy: { settled_at: 'desc' } });
}

/** @param error null: it was carried out. */
export async function settleErrand({ errand }: Errands, id: string, error: ErrandError | null): Promise<void> {
  const settled: Prisma.ErrandUpdateInput = error === null ? { outcome: 'done' } : { outcome: 'refused', error };
  await errand.update({ where: { id }, data: { ...settled, settled_at: new Date() } });
}

/**
 * Puts on record that a rotation is about to be sent, and until when its effect may show, by PostgreSQL's clock.
 * @param countBefore the key's on-demand rotations; null: the call surely had no effect.
 * @param shownWithin milliseconds.
 */
export async function noteRotationSent(
  transaction: Transaction,
  id: string,
  countBefore: number | null,
  shownWithin: number,
): Promise<void> {
  await transaction.$executeRaw`
    UPDATE errands SET count_before = ${countBefore}, lands_until = CASE WHEN ${countBefore}::int IS NOT NULL
      THEN clock_timestamp() + ${shownWithin} * interval '1 millisecond' END
    WHERE id = ${id}::uuid`;
}

/**
 * Whether the rotation that was sent has had its time, and that to become visible: the journal may have given the call more time
 * than was thought when it was about to be sent.
 * @param settle milliseconds by which KMS's answers may be older than a write.
 */
export async function isRotationOver(
  transaction: Pick<Transaction, '$queryRaw'>,
  id: string,
  settle: number,
): Promise<boolean> {
  const [told] = await transaction.$queryRaw<{ over: boolean }[]>`
    SELECT greatest(e.lands_until, max(w.lands_until) + ${settle} * interval '1 millisecond') < clock_timestamp() AS over
    FROM errands e LEFT JOIN kms_writes w ON w.key_ref = e.key_ref AND w.operation = e.operation AND w.outcome = 'unknown'
    WHERE e.id = ${id}::uuid GROUP BY e.id`;
  return told?.over ?? false;
}

/** After PostgreSQL's clock was set back. @param shownWithin milliseconds within which the effect of a call shows. */
export async function shortenErrands(client: Pick<Pool | ClientBase, 'query'>, shownWithin: number): Promise<void> {
  const latest = "now() + $1::float8 * interval '1 millisecond'";
  await client.query(`UPDATE errands SET lands_until = ${latest} WHERE lands_until > ${latest}`, [shownWithin]);
}

/** Removes some of those that were settled so many days ago. @returns how many. */
export async function removeErrands(client: Pick<ClientBase, 'query'>, days: number, most: number): Promise<number> {
  const { rowCount } = await client.query(
    `DELETE FROM errands WHERE id IN (
      SELECT id FROM errands WHERE outcome <> 'pending' AND settled_at < now() - make_interval(days => $1) LIMIT ${most})`,
    [days],
  );
  return rowCount ?? 0;
}
