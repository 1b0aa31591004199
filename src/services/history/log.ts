/**
 * The event log: nothing else writes the table (`npm run homes` holds that), and nothing changes what is in it. What is kept no
 * longer goes from its older end.
 */
import type { ClientBase } from 'pg';
import type { Retention } from '../../config.ts';
import type { Transaction } from '../../database/client.ts';
import { insertAll } from '../../database/insert.ts';
import type {
  AccessEvent,
  EventData,
  ImportEvent,
  InstallationEventType,
  KeyEvent,
  ProviderEvent,
} from '../../domain/events.ts';

/** Who did it, for whom, and in which request from where; null and absent: none. */
export type Doer = {
  actor: string;
  requestId: string | null;
  onBehalfOf?: string | null;
  address?: string | null;
  userAgent?: string | null;
};

const keyward: Doer = { actor: 'keyward', requestId: null };

/** Writes an event in the transaction of what it tells of. @param by left out: Keyward by itself. */
export function recordEvent(
  transaction: Pick<Transaction, '$executeRawUnsafe'>,
  event: AnyEvent,
  by?: Doer,
): Promise<void> {
  return recordEvents(transaction, [event], by);
}

/** The same of several, in their order. */
export async function recordEvents(
  transaction: Pick<Transaction, '$executeRawUnsafe'>,
  events: readonly AnyEvent[],
  by: Doer = keyward,
): Promise<void> {
  const rows = events.map((event) => {
    return { ...nobody, ...subjectOf(event), ...columnsOf(by), type: event.type, data: event.data };
  });
  await insertAll(transaction, 'events', rows);
}

/** Of an event that is of no key, or of no provider. */
const nobody = { key_ref: null, provider: null };

type AnyEvent = KeyEvent | ProviderEvent | ImportEvent | AccessEvent;

function subjectOf(event: AnyEvent) {
  if ('key' in event) return { key_ref: event.key.id, generation: event.key.generation };
  return 'provider' in event ? { provider: event.provider, generation: 0 } : { generation: 0 };
}

function columnsOf({ actor, requestId, onBehalfOf, address, userAgent }: Doer) {
  return {
    actor,
    request_id: requestId,
    on_behalf_of: onBehalfOf ?? null,
    address: address ?? null,
    user_agent: userAgent ?? null,
  };
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

/**
 * Removes the oldest that are kept no longer. The last of all stays, however old: a database whose last event is gone looks like
 * one that has lost commits. Their numbers are in the order of time: no index of times is needed.
 * @returns how many; 0: there are none left.
 */
export async function removeEvents(
  client: Pick<ClientBase, 'query'>,
  { events, eventCount }: Pick<Retention, 'events' | 'eventCount'>,
  { batchSize, shortest }: { batchSize: number; shortest: number },
): Promise<number> {
  if (events === null && eventCount === null) return 0;
  const { rowCount } = await client.query(
    `DELETE FROM events WHERE (SELECT set_config('keyward.retention', 'on', true)) = 'on' AND seq IN (
      SELECT seq FROM (SELECT seq, created_at FROM events ORDER BY seq LIMIT ${batchSize}) AS oldest
      WHERE seq < (SELECT max(seq) FROM events) AND (created_at < now() - make_interval(days => $1)
        OR created_at < now() - make_interval(days => ${shortest}) AND seq <= (SELECT max(seq) FROM events) - $2::bigint))`,
    [events, eventCount],
  );
  return rowCount ?? 0;
}
