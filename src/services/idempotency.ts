/**
 * Idempotency-Key: a repeat of a request gets the first answer and does nothing twice, on whichever replica it arrives and
 * whatever crashed in between. Source: draft-ietf-httpapi-idempotency-key-header.
 */
import { createHash, randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { removeInBatches } from '../database/batches.ts';
import type { Services } from './context.ts';
import { ProblemError } from './problems.ts';

/** For how long an answer is kept. */
const retention = "interval '24 hours'";
/** Until a request whose process died may be run again; those that are alive renew it. */
export const claimTime = "interval '20 seconds'";
const renewalMilliseconds = 5000;
const repeatSeconds = 1;

export type StoredAnswer = { status: number; headers: Record<string, string>; body: string | null };

/** A request that is to be run, and answered for good or not. */
export type RunningRequest = {
  /** The same when a crash makes it run again: the id of what it creates, and the mark of what it records. */
  commandId: string;
  /** Whether an earlier run was cut off before its answer was kept. */
  isRerun: boolean;
  /** Keeps the answer for repeats. */
  finish(answer: StoredAnswer): Promise<void>;
  /** Lets a repeat run the request again, with the same command id. */
  giveUp(): Promise<void>;
  /** Nothing was begun: another request may have the key, but for one that an earlier run began. */
  forget(): Promise<void>;
};

type Row = { fingerprint: string; resource_id: string; claim: string } & {
  [Part in keyof StoredAnswer]: StoredAnswer[Part] | null;
};

/** What of a row is asked for. */
const columns = 'fingerprint, resource_id, claim, status, headers, body';

/** What makes two requests the same. */
export function fingerprintOf(method: string, url: string, body: unknown): string {
  return createHash('sha256')
    .update(`${method} ${url}\n${JSON.stringify(body ?? null)}`)
    .digest('hex');
}

/**
 * Claims a request, or finds its answer.
 * @throws ProblemError idempotency-key-reused for another request under this key, idempotency-key-in-use while the first
 * is still running.
 */
export async function beginRequest(
  services: Services,
  request: { actor: string; key: string; fingerprint: string },
): Promise<RunningRequest | StoredAnswer> {
  const claim = randomUUID();
  const { pool } = services.database;
  const newId = uuidv7();
  const values = [request.actor, request.key, request.fingerprint, newId, claim];
  const { rows: claimed } = await pool.query<Row>({ name: 'claim_request', text: claimRequest, values });
  const mine = claimed[0];
  if (mine !== undefined) return runningRequest(services, request, mine, { isRerun: mine.resource_id !== newId });
  const found = await pool.query<Row>(`SELECT ${columns} FROM idempotent_requests WHERE actor = $1 AND key = $2`, [
    request.actor,
    request.key,
  ]);
  const row = found.rows[0];
  // Swept away between the two statements: it had expired.
  if (row === undefined) return beginRequest(services, request);
  if (row.fingerprint !== request.fingerprint) throw reused();
  if (row.status === null) throw inUse();
  return { status: row.status, headers: row.headers ?? {}, body: row.body };
}

/** A new key, one whose answer has expired, and one whose process died before it answered. */
const claimRequest = `
  INSERT INTO idempotent_requests AS known (actor, key, fingerprint, resource_id, claim, claimed_until)
  VALUES ($1, $2, $3, $4, $5, now() + ${claimTime})
  ON CONFLICT (actor, key) DO UPDATE SET
    fingerprint = EXCLUDED.fingerprint, claim = EXCLUDED.claim, claimed_until = EXCLUDED.claimed_until,
    resource_id = CASE WHEN known.status IS NULL AND known.fingerprint = EXCLUDED.fingerprint
      THEN known.resource_id ELSE EXCLUDED.resource_id END,
    status = NULL, headers = NULL, body = NULL, created_at = now()
  WHERE known.claimed_until < now()
    AND ((known.status IS NULL AND known.fingerprint = EXCLUDED.fingerprint) OR known.created_at < now() - ${retention})
  RETURNING ${columns}`;

function runningRequest(
  services: Services,
  { actor, key }: { actor: string; key: string },
  row: Row,
  { isRerun }: { isRerun: boolean },
): RunningRequest {
  const { pool } = services.database;
  const own = [actor, key, row.claim];
  const whereOwn = 'WHERE actor = $1 AND key = $2 AND claim = $3';
  const renewal = setInterval(() => {
    pool
      .query(`UPDATE idempotent_requests SET claimed_until = now() + ${claimTime} ${whereOwn}`, own)
      .catch((error: Error) => services.log.warn({ err: error }, 'could not renew the claim on an idempotent request'));
  }, renewalMilliseconds);
  renewal.unref();
  const giveUp = async () => {
    clearInterval(renewal);
    await pool.query(`UPDATE idempotent_requests SET claimed_until = '-infinity' ${whereOwn}`, own);
  };
  const forget = async () => {
    clearInterval(renewal);
    await pool.query(`DELETE FROM idempotent_requests ${whereOwn}`, own);
  };
  return {
    commandId: row.resource_id,
    isRerun,
    finish: async ({ status, headers, body }) => {
      clearInterval(renewal);
      await pool.query(`UPDATE idempotent_requests SET status = $4, headers = $5, body = $6 ${whereOwn}`, [
        ...own,
        status,
        JSON.stringify(headers),
        body,
      ]);
    },
    giveUp,
    forget: isRerun ? giveUp : forget,
  };
}

const removeExpired = `
  DELETE FROM idempotent_requests WHERE (actor, key) IN (
    SELECT actor, key FROM idempotent_requests WHERE created_at < now() - ${retention} AND claimed_until < now()
    ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED)`;

/** Removes answers that have expired. */
export async function sweepRequests({ database }: Pick<Services, 'database'>): Promise<void> {
  await removeInBatches(
    () => database.pool.ending,
    async () => (await database.pool.query(removeExpired)).rowCount ?? 0,
  );
}

function reused(): ProblemError {
  const detail =
    'This Idempotency-Key was used for another request (method, path or body differ): take a new key for a new request.';
  return new ProblemError('idempotency-key-reused', detail);
}

function inUse(): ProblemError {
  const detail = 'The first request with this Idempotency-Key is still running: try again for its answer.';
  return new ProblemError('idempotency-key-in-use', detail, { retryAfter: repeatSeconds });
}
