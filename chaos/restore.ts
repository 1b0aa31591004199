/** PostgreSQL put back to a copy taken earlier in the run, and what an operator does then. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { caller, type LoggedCall } from '../test/support/service.ts';
import type { Lab } from './lab.ts';
import type { Ledger } from './ledger.ts';
import type { Random } from './random.ts';
import type { Replica } from './replica.ts';

export type Restore = {
  /** Milliseconds from the copy until it is put back. */
  after: number;
  /** Whether the replicas live on, or are started anew when the copy is back. */
  replicasLive: boolean;
  /** What owners do in between, each to a key of its own. */
  changes: Change[];
};

type Change = 'describe' | 'disable' | 'delete' | 'release' | 'create';

export function planRestore(random: Random): Restore {
  const changes = Array.from({ length: random.between(1, 3) }, () =>
    random.pick(['describe', 'describe', 'disable', 'delete', 'release', 'create'] as const),
  );
  return { after: random.between(300, 900), replicasLive: random.chance(0.6), changes };
}

/** Takes the copy, lets life go on, and puts the copy back. @param ids of the records in play. */
export async function restore(lab: Lab, ledger: Ledger, ids: string[], planned: Restore): Promise<void> {
  const { after, replicasLive, changes } = planned;
  await lab.killPostgres();
  await lab.copyPostgres();
  const copied = new Date();
  await lab.startPostgres();
  const then = await keysAtRest(await lab.database(), ids);
  await Promise.all(changes.map((change, index) => carryOut(lab, change, then[index]?.id)));
  await delay(after);
  if (!replicasLive) for (const replica of lab.replicas) await replica.kill();
  await lab.killPostgres();
  await lab.putCopyBack();
  // What was under way has landed: from here on, all that is written to KMS is written by what knows the copy alone.
  await delay(200);
  const differing = await changedSince(lab, then);
  await lab.control.clear();
  await lab.startPostgres();
  const database = await lab.database();
  // A silence is only noticed by who was not there, and as if the copy were older.
  if (!replicasLive) await database.query("UPDATE installation SET alive_at = alive_at - interval '1 day'");
  await ledger.noteRestore(database, copied, differing);
  await database.query('UPDATE work SET due_at = now() WHERE due_at > now() AND key_ref = ANY($1)', [ids]);
}

type AtRest = { id: string; arn: string; key_id: string; description: string; is_enabled: boolean };

/** What the database will not remember. */
async function carryOut({ replicas }: Lab, change: Change, id = ''): Promise<void> {
  const call = caller(replicas[1].service.url);
  const path = `/v1/keys/${id}`;
  const wait = { prefer: 'wait=3' };
  const requests = {
    describe: () => call('PATCH', path, { description: 'Forgotten' }, wait),
    disable: () => call('PATCH', path, { is_enabled: false, description: 'Forgotten, and disabled' }, wait),
    delete: () => call('DELETE', path, undefined, wait),
    release: () => call('POST', `${path}/release`, undefined, wait),
    create: () => call('POST', '/v1/keys', { description: 'Forgotten, and made' }, wait),
  };
  // PostgreSQL has just come back: it may not be there for everybody yet.
  await requests[change]().catch(() => {});
}

async function keysAtRest(database: Client, ids: string[]): Promise<AtRest[]> {
  const { rows } = await database.query<AtRest>(
    `SELECT id, arn, key_id, description, is_enabled FROM keys JOIN work ON work.key_ref = keys.id
     WHERE id = ANY($1) AND generation = synced_generation
       AND lifecycle = 'managed' AND key_id IS NOT NULL AND key_state IS NOT NULL AND lease_token IS NULL`,
    [ids],
  );
  return rows;
}

/** Those that KMS no longer holds as they were. @returns the records by their KMS keys. */
async function changedSince({ control }: Lab, then: AtRest[]): Promise<Map<string, string>> {
  const changed = new Map<string, string>();
  for (const { id, arn, key_id, description, is_enabled } of then) {
    // It changes nothing, and is no call to KMS that a fault may befall.
    const { status, body } = await control.changeKey(arn, {});
    if (status !== 200) continue;
    if (body.description !== description || body.enabled !== is_enabled) changed.set(key_id, id);
  }
  return changed;
}

/** Milliseconds in which all keys must have been compared. */
const patience = 60_000;

type Recovery = { held: boolean; keys_total: number; keys_checked: number };

/**
 * What an operator does when keys are held: waits until all are compared with KMS, and decides on those that differ.
 * @returns when that was; null: nothing was held.
 * @throws when keys are held for ever.
 */
export async function recover(replica: Replica, as: 'observed' | 'declared'): Promise<Date | null> {
  const deadline = performance.now() + patience;
  let decided: Date | null = null;
  let last: unknown = null;
  while (performance.now() < deadline) {
    // One that had killed itself may not have been dead yet when all was calmed.
    await replica.start();
    const call = caller(replica.service.url);
    const seen = await call<Recovery>('GET', '/v1/recovery').catch(() => null);
    if (seen?.status === 200 && !seen.body.held) return decided;
    last = seen?.body ?? last;
    if (seen?.status === 200 && seen.body.keys_checked === seen.body.keys_total) {
      decided ??= new Date();
      await call('POST', '/v1/recovery/resume', { keys: 'all', as }).catch(() => {});
    }
    await delay(100);
  }
  throw new Error(`Keys are held ${patience} ms after all was calm: ${JSON.stringify(last)}`);
}

/** What an operator says of a key that the restored database does not know to be its own, and whose owner wants it deleted. */
export async function tellWhoseKeysAre(replica: Replica, database: Client): Promise<void> {
  const { rows } = await database.query<{ id: string; message: string }>(
    "SELECT id, error->>'message' AS message FROM keys WHERE key_id IS NULL AND error->>'code' = 'KeyNotProven'",
  );
  for (const { id, message } of rows) {
    const keyId = /the key (\S+)/.exec(message)?.[1];
    await caller(replica.service.url)('POST', `/v1/keys/${id}/resolve`, { key_id: keyId, is_mine: true }).catch(
      () => {},
    );
  }
}

/**
 * A key that KMS does not hold as the restored database has it is only looked at, until somebody decides.
 * @returns a sentence for each violation.
 */
export async function writesBeforeTheGo(ledger: Ledger, database: Client, calls: LoggedCall[]): Promise<string[]> {
  const { differing, decided, lastEvent } = ledger.recovery;
  const asked = await database.query<{ key_ref: string }>(
    "SELECT DISTINCT key_ref FROM events WHERE seq > $1 AND actor <> 'keyward' AND type NOT LIKE 'recovery.%'",
    [lastEvent],
  );
  const named = new Set([...asked.rows.map(({ key_ref }) => key_ref), ...ledger.askedSinceRestore()]);
  return calls.flatMap(({ key_id, operation, error, at }) => {
    const id = differing.get(key_id ?? '');
    const isEarly = decided === null || new Date(at) < decided;
    if (error !== null || id === undefined || named.has(id) || !isEarly) return [];
    return [`held: ${operation} of ${key_id} of ${id} at ${at}, before anybody decided`];
  });
}
