/** The end of an import, which is put on record once. */
import type { Transaction } from '../../database/client.ts';
import type { Services } from '../context.ts';
import { type Doer, recordEvent } from '../history/log.ts';
import { endEarly, endIfDone, type ImportError, type ImportRow } from './rows/imports.ts';
import { settleDoubles } from './rows/items.ts';
import { countsOf } from './show.ts';

/** Who asked for the import, as events have it. */
export function doerOf(row: ImportRow): Doer & { requestId: string } {
  return {
    actor: row.actor,
    requestId: row.request_id,
    onBehalfOf: row.on_behalf_of,
    address: row.address,
    userAgent: row.user_agent,
  };
}

/** Ends an import if every key has its outcome. */
export async function finish(services: Services, importId: string): Promise<void> {
  await services.database.prisma.$transaction(async (transaction) => {
    const row = await endIfDone(transaction, importId);
    if (row?.dry_run) await settleDoubles(transaction, importId);
    if (row !== null) await recordEnd(transaction, row, 'done');
  });
}

/** Ends an import whose keys can't be listed. */
export async function fail(services: Services, importId: string, error: ImportError): Promise<void> {
  await services.database.prisma.$transaction(async (transaction) => {
    const row = await endEarly(transaction, importId, { state: 'failed', error });
    if (row !== null) await recordEnd(transaction, row, 'failed');
  });
}

async function recordEnd(transaction: Transaction, row: ImportRow, state: 'done' | 'failed'): Promise<void> {
  const { total: _total, waiting: _waiting, ...counts } = await countsOf(transaction, row.id);
  const data = { import: row.id, source: row.kind, dry_run: row.dry_run, state, counts };
  await recordEvent(transaction, { type: 'import.finished', provider: row.provider, data }, doerOf(row));
}
