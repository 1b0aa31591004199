/** The event log: nothing else writes the table (`npm run homes` holds that), and nothing changes what is in it. */
import type { Prisma, Transaction } from '../../database/client.ts';
import type { EventData, InstallationEventType, KeyEvent, ProviderEvent } from '../../domain/events.ts';

/** Who did it, and in which request; null: none. */
type Doer = { actor: string; requestId: string | null };

const keyward: Doer = { actor: 'keyward', requestId: null };

/** Writes an event in the transaction of what it tells of. @param by left out: Keyward by itself. */
export async function recordEvent(
  transaction: Pick<Transaction, 'event'>,
  event: KeyEvent | ProviderEvent,
  by: Doer = keyward,
): Promise<void> {
  const about =
    'key' in event
      ? { key_ref: event.key.id, generation: event.key.generation }
      : { provider: event.provider, generation: 0 };
  const data = event.data as unknown as Prisma.InputJsonObject;
  await transaction.event.create({
    data: { ...about, type: event.type, actor: by.actor, request_id: by.requestId, data },
  });
}

/**
 * SQL that writes an event of the whole installation, as a part of a statement that does more.
 * @param data an SQL expression for each member.
 * @param from the relation whose rows make an event each.
 */
export function insertOfEvents(
  type: InstallationEventType,
  data: { [Member in keyof EventData[InstallationEventType]]: string },
  from: string,
): string {
  const members = Object.entries(data).map(([name, expression]) => `'${name}', ${expression}`);
  return `INSERT INTO events (type, generation, actor, data)
    SELECT '${type}', 0, '${keyward.actor}', json_build_object(${members.join(', ')}) FROM ${from}`;
}
