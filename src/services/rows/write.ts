/**
 * The writes of one key's rows. The row in `work` is taken first, by whoever: a lease is taken, and a look recorded, there alone,
 * and the row in `keys` is written by nobody who does not hold it.
 */
import { type Key, Prisma, type Transaction, type Work } from '../../database/client.ts';
import { keyColumns, keyTables, workColumnNames } from '../../database/columns.ts';
import { insertAll, insertion } from '../../database/insert.ts';
import type { KeyRow } from './key-row.ts';
import { findRowIn } from './read.ts';

type KeyColumns = Omit<Prisma.KeyUpdateManyMutationInput, 'id' | 'provider'>;
export type WorkColumns = Omit<Prisma.WorkUpdateManyMutationInput, 'key_ref' | 'provider'>;
/** Columns of either row. */
export type Columns = KeyColumns & WorkColumns;

/** What must be so for a key's row in `work` to be written. */
export type WorkCondition = {
  id: string;
  /** null: nobody has the lease. */
  lease_token?: string | null | undefined;
  /** Nobody has asked for more since. */
  asked?: number | undefined;
};

/** The same for both rows. */
export type Condition = WorkCondition &
  Pick<Prisma.KeyWhereInput, 'generation' | 'key_id' | 'synced_generation' | 'state'>;

/** The columns of a key that nobody syncs. */
export const noLease = { lease_token: null, lease_until: null };

/** The columns of what somebody asks of a key, as a sync that is under way notices. */
export const oneMoreAsked = { asked: { increment: 1 } };

/** The columns of a change of status. */
export const statusMoves = { status_version: { increment: 1 } };

type NewColumns = Prisma.KeyCreateInput & Omit<Prisma.WorkCreateWithoutKeyInput, 'provider'>;

/** Records a key that there was no record of. @throws as insertRows */
export async function insertRow(transaction: Transaction, columns: NewColumns): Promise<KeyRow> {
  const rows = tablesOf([columns]);
  const [row] = await transaction.$queryRawUnsafe<KeyRow[]>(
    `WITH keys AS (${insertion('keys', rows.keys, '$1')} RETURNING *), work AS (${insertion('work', rows.work, '$2')} RETURNING *)
    SELECT ${keyColumns} FROM ${keyTables}`,
    JSON.stringify(rows.keys),
    JSON.stringify(rows.work),
  );
  return row as KeyRow;
}

/** Records several. @throws Prisma's P2010 when one of the ARNs or ids is on record: none is recorded then. */
export async function insertRows(transaction: Transaction, columns: readonly NewColumns[]): Promise<void> {
  const { keys, work } = tablesOf(columns);
  await insertAll(transaction, 'keys', keys);
  await insertAll(transaction, 'work', work);
}

function tablesOf(columns: readonly NewColumns[]) {
  const rows = columns.map((one) => ({ one, ...split(one) }));
  return {
    keys: rows.map(({ keys }) =>
      Object.fromEntries(Object.entries(keys).map(([name, value]) => [name, inJson(value)])),
    ),
    work: rows.map(({ one, work }) => ({ key_ref: one.id, provider: one.provider, ...work })),
  };
}

/** Writes columns of either row. @returns the key as it is then; null: it is not as the condition says, and nothing was written. */
export async function writeRow(
  transaction: Transaction,
  { id, lease_token, asked, ...ofKey }: Condition,
  columns: Columns,
): Promise<KeyRow | null> {
  const { keys, work } = split(columns);
  const condition = { id, lease_token, asked };
  if (Object.keys(ofKey).length === 0) {
    // Nothing is asked of the row in `keys`: the write of the other one takes both.
    if (Object.keys(keys).length > 0 && Object.keys(work).length > 0) {
      return writeBoth(transaction, condition, { keys, work });
    }
    const row = await writeOne(transaction, condition, work);
    const key = row === null ? null : await writeKey(transaction, { id }, keys);
    return key === null || row === null ? null : joined(key, row);
  }
  if (!(await holdWork(transaction, condition))) return null;
  const key = await writeKey(transaction, { id, ...ofKey }, keys);
  const row = key === null ? null : await writeOne(transaction, condition, work);
  return key === null || row === null ? null : joined(key, row);
}

/** One statement: what ends a sync is waited for. */
async function writeBoth(
  transaction: Transaction,
  condition: WorkCondition,
  { keys, work }: { keys: KeyColumns; work: WorkColumns },
): Promise<KeyRow | null> {
  const [ofKeys, ofWork] = [assignments('keys', keys), assignments('work', work)];
  const [row] = await transaction.$queryRaw<KeyRow[]>`
    WITH work AS (
      UPDATE work SET ${ofWork.set} FROM json_populate_record(NULL::work, ${ofWork.values}::json) AS entry
      WHERE ${conditionOf(condition)} RETURNING work.*
    ), keys AS (
      UPDATE keys SET ${ofKeys.set} FROM work, json_populate_record(NULL::keys, ${ofKeys.values}::json) AS entry
      WHERE keys.id = work.key_ref RETURNING keys.*
    )
    SELECT ${Prisma.raw(keyColumns)} FROM ${Prisma.raw(keyTables)}`;
  return row ?? null;
}

/** What is written of one row, and the record that the new values are in. */
function assignments(table: 'keys' | 'work', columns: object): { set: Prisma.Sql; values: string } {
  const entries = Object.entries(columns).filter(([, value]) => value !== undefined);
  const set = entries.map(([name, value]) =>
    isIncrement(value) ? `${name} = ${table}.${name} + ${value.increment}` : `${name} = entry.${name}`,
  );
  const values = entries.flatMap(([name, value]) => (isIncrement(value) ? [] : [[name, inJson(value)]]));
  return { set: Prisma.raw(set.join(', ')), values: JSON.stringify(Object.fromEntries(values)) };
}

/** As JSON has it. */
function inJson(value: unknown): unknown {
  return value === Prisma.DbNull ? null : value;
}

function isIncrement(value: unknown): value is { increment: number } {
  return typeof (value as { increment?: unknown } | null)?.increment === 'number';
}

async function writeKey(transaction: Transaction, where: Prisma.KeyWhereInput, data: KeyColumns): Promise<Key | null> {
  if (Object.keys(data).length === 0) return transaction.key.findFirst({ where });
  const [key] = await transaction.key.updateManyAndReturn({ where, data });
  return key ?? null;
}

async function writeOne(transaction: Transaction, condition: WorkCondition, data: WorkColumns): Promise<Work | null> {
  if (Object.keys(data).length === 0) {
    return (await holdWork(transaction, condition))
      ? transaction.work.findUnique({ where: { key_ref: condition.id } })
      : null;
  }
  const [row] = await transaction.work.updateManyAndReturn({ where: whereOf(condition), data });
  return row ?? null;
}

/** Writes columns of both rows, for a transaction that has taken them. */
export async function writeHeldRow(transaction: Transaction, id: string, columns: Columns): Promise<void> {
  const { keys, work } = split(columns);
  if (Object.keys(keys).length > 0) await transaction.key.updateMany({ where: { id }, data: keys });
  if (Object.keys(work).length > 0) await transaction.work.updateMany({ where: { key_ref: id }, data: work });
}

/** Writes columns of the row in `work` alone. @returns whether it is as the condition says. */
export async function writeWork(
  transaction: Transaction,
  { id: key_ref, lease_token, asked }: WorkCondition,
  columns: WorkColumns,
): Promise<boolean> {
  return (
    (await transaction.work.updateMany({ where: whereOf({ id: key_ref, lease_token, asked }), data: columns })).count >
    0
  );
}

/** Removes the record. @returns whether it was as the condition says. */
export async function removeRow(
  transaction: Transaction,
  { id, lease_token, asked, writes_open, ...ofKey }: Condition & { writes_open?: boolean },
): Promise<boolean> {
  if (!(await holdWork(transaction, { id, lease_token, asked }))) return false;
  const where = { id, ...ofKey, ...(writes_open === undefined ? {} : { work: { writes_open } }) };
  return (await transaction.key.deleteMany({ where })).count > 0;
}

/**
 * Takes the key's rows until the transaction ends.
 * @returns the key as it is; null: it is not as the condition says.
 */
export async function holdRow(transaction: Transaction, condition: WorkCondition): Promise<KeyRow | null> {
  return (await holdWork(transaction, condition)) ? findRowIn(transaction, condition.id) : null;
}

/** The same of the row in `work` alone. @returns whether it is as the condition says. */
export async function holdWork(transaction: Transaction, condition: WorkCondition): Promise<boolean> {
  const held = await transaction.$executeRaw`SELECT 1 FROM work WHERE ${conditionOf(condition)} FOR NO KEY UPDATE`;
  return held > 0;
}

function conditionOf({ id, lease_token, asked }: WorkCondition): Prisma.Sql {
  const conditions = [
    Prisma.sql`work.key_ref = ${id}::uuid`,
    ...(lease_token === undefined ? [] : [Prisma.sql`work.lease_token IS NOT DISTINCT FROM ${lease_token}::uuid`]),
    ...(asked === undefined ? [] : [Prisma.sql`work.asked = ${asked}`]),
  ];
  return Prisma.join(conditions, ' AND ');
}

function whereOf({ id, lease_token, asked }: WorkCondition): Prisma.WorkWhereInput {
  return {
    key_ref: id,
    ...(lease_token === undefined ? {} : { lease_token }),
    ...(asked === undefined ? {} : { asked }),
  };
}

const isOfWork = new Set(workColumnNames);

function split(columns: object): { keys: KeyColumns; work: WorkColumns } {
  const entries = Object.entries(columns);
  return {
    keys: Object.fromEntries(entries.filter(([name]) => !isOfWork.has(name))),
    work: Object.fromEntries(entries.filter(([name]) => isOfWork.has(name))),
  };
}

function joined(key: Key, { key_ref: _ref, provider: _provider, ...work }: Work): KeyRow {
  return { ...key, ...work } as KeyRow;
}
