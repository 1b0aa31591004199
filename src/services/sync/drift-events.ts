/** Puts on record when drift begins and when it ends. */
import type { KeyRow, Prisma, Transaction } from '../../database/client.ts';
import type { Drift } from '../../schemas/key.ts';
import { driftOf } from '../keys/declared.ts';

/** An event when drift of a field begins, and one when it ends. */
export async function recordDriftEvents(transaction: Transaction, row: KeyRow, drift: Drift[]): Promise<void> {
  const before = driftOf(row);
  const isNew = (entry: Drift) => !before.some(({ field }) => field === entry.field);
  const isGone = (entry: Drift) => !drift.some(({ field }) => field === entry.field);
  const event = (type: string, entries: Drift[]) =>
    transaction.event.create({
      data: {
        key_ref: row.id,
        type,
        generation: row.generation,
        actor: 'keyward',
        data: { drift: entries as unknown as Prisma.InputJsonArray },
      },
    });
  if (drift.some(isNew)) await event('drift.detected', drift.filter(isNew));
  if (before.some(isGone)) await event('drift.resolved', before.filter(isGone));
}
