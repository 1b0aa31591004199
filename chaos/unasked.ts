/** Violations of what nobody asked for: keys switched, deleted, adopted, taken back or given up by Keyward's own doing. */
import type { KMSClient } from '@aws-sdk/client-kms';
import type { Client } from 'pg';
import { metadata } from '../test/support/kms-truth.ts';
import type { LoggedCall } from '../test/support/service.ts';
import type { Lab } from './lab.ts';
import { arnOf, regionOf } from './places.ts';
import type { Ward } from './wards.ts';

export type Watched = {
  kms: KMSClient;
  kmsIn: Lab['kmsIn'];
  database: Client;
  /** The calls of the run. */
  calls: LoggedCall[];
  /** Those whose foreign changes are known: of this run, and of all. */
  wards: ReadonlyMap<string, Ward>;
  allWards: ReadonlyMap<string, Ward>;
  /** Records of which an operator decided in this run what KMS is to hold, whatever their drift policies say. */
  decidedOn: ReadonlySet<string>;
  /** Keys that somebody else made away with. */
  lost: ReadonlySet<string>;
};

/** @param sinceSeq the last event before the run. @returns a sentence for each violation. */
export async function unaskedDoings(watched: Watched, sinceSeq: string): Promise<string[]> {
  return [
    ...(await switchedKeys(watched)),
    ...(await deletedKeys(watched)),
    ...(await adoptions(watched, sinceSeq)),
    ...(await changesTakenBack(watched.database, sinceSeq)),
    ...(await keysGivenUp(watched)),
    ...(await wardsTouched(watched)),
  ];
}

function carriedOut(calls: LoggedCall[], operation: RegExp): LoggedCall[] {
  return calls.filter((call) => call.error === null && operation.test(call.operation));
}

/** Whether any revision that an owner asked for declares the keys enabled, or not. Imports tell what KMS has, and owners' keys are enabled. */
const declaredDisabled = `
  SELECT k.id, k.arn, EXISTS (SELECT 1 FROM revisions r WHERE r.key_ref = k.id AND r.origin NOT IN ('drift', 'import')
    AND (r.desired->>'is_enabled' = 'false' OR r.desired->>'lifecycle' = 'pending_deletion')) AS is_declared
  FROM (SELECT id, arn FROM keys UNION SELECT key_ref, arn FROM former_keys) k WHERE k.arn = ANY($1)`;

/** Nobody declared that these are disabled: then there is no way to them by which they are disabled or enabled. */
async function switchedKeys({ database, calls, allWards, decidedOn }: Watched): Promise<string[]> {
  const switched = carriedOut(calls, /^(Enable|Disable)Key$/);
  const { rows } = await database.query<{ id: string; arn: string; is_declared: boolean }>(declaredDisabled, [
    switched.map(arnOf),
  ]);
  const undeclared = new Map(
    rows.filter((row) => !row.is_declared && !decidedOn.has(row.id)).map((row) => [row.arn, row.id]),
  );
  return switched.flatMap((call) => {
    const { operation, at } = call;
    const id = undeclared.get(arnOf(call));
    const ward = allWards.get(id ?? '');
    const isMending = ward?.drift_policy === 'enforce' && ward.theirs?.enabled === false && operation === 'EnableKey';
    return id === undefined || isMending
      ? []
      : [`switched: ${operation} of ${arnOf(call)} of ${id} at ${at}, which nobody declared`];
  });
}

/** Whom a scheduled deletion can have been asked for: the record whose owner did, or the journal's proof that Keyward made it. */
const askedDeletions = `
  SELECT k.arn FROM keys k WHERE k.arn = ANY($1) AND EXISTS (
    SELECT 1 FROM revisions r WHERE r.key_ref = k.id AND r.desired->>'lifecycle' = 'pending_deletion')
  UNION SELECT f.arn FROM former_keys f WHERE f.arn = ANY($1) AND f.reason IN ('replaced', 'refused')
  UNION SELECT e.data->>'arn' FROM events e WHERE e.type IN ('key.removed', 'key.released', 'key.deleted')
    AND e.data->>'arn' = ANY($1)`;

async function deletedKeys({ database, calls }: Watched): Promise<string[]> {
  const deleted = carriedOut(calls, /^ScheduleKeyDeletion$/);
  const { rows } = await database.query<{ arn: string }>(askedDeletions, [deleted.map(arnOf)]);
  const asked = new Set(rows.map(({ arn }) => arn));
  return deleted
    .filter((call) => !asked.has(arnOf(call)))
    .map((call) => `deleted: ScheduleKeyDeletion of ${arnOf(call)} at ${call.at}, which nobody asked for`);
}

/** What was adopted must be what somebody made of the key. */
async function adoptions({ database, allWards }: Watched, sinceSeq: string): Promise<string[]> {
  const { rows } = await database.query<{ key_ref: string; changes: Record<string, { after: unknown }> }>(
    `SELECT r.key_ref, r.changes FROM revisions r JOIN events e ON e.key_ref = r.key_ref AND e.generation = r.generation
     WHERE r.origin = 'drift' AND e.type = 'desired_state.changed' AND e.seq > $1`,
    [sinceSeq],
  );
  const changed = await database.query<{ key_ref: string }>(
    "SELECT DISTINCT key_ref FROM events WHERE seq > $1 AND type = 'key.role_changed' AND data->>'role' = 'primary'",
    [sinceSeq],
  );
  const roles = new Set(changed.rows.map(({ key_ref }) => key_ref));
  return rows.flatMap(({ key_ref, changes }) => {
    const ward = allWards.get(key_ref);
    const said: Record<string, unknown> =
      ward?.drift_policy === 'adopt' && ward.theirs !== null
        ? { description: ward.theirs.description, is_enabled: ward.theirs.enabled }
        : {};
    // The rotation of a family goes over to the key that somebody has made the primary one.
    const isOfFamily = (field: string) =>
      roles.has(key_ref) && /^(enable_key_rotation|rotation_period_in_days)$/.test(field);
    const invented = Object.entries(changes).filter(
      ([field, { after }]) => said[field] !== after && !isOfFamily(field),
    );
    return invented.length === 0 ? [] : [`adopted: ${JSON.stringify(changes)} for ${key_ref}, which KMS did not say`];
  });
}

/** Refusals that time heals, and answers that are not KMS's, take nothing back. */
async function changesTakenBack(database: Client, sinceSeq: string): Promise<string[]> {
  const { rows } = await database.query<{ key_ref: string; generation: number; error: string }>(
    `SELECT r.key_ref, r.generation, r.error::text FROM revisions r JOIN events e
       ON e.key_ref = r.key_ref AND e.generation = r.generation AND e.type = 'desired_state.changed'
     WHERE e.seq > $1 AND r.outcome = 'refused'
       AND r.error->>'code' IN ('AccessDeniedException', 'RequestBlocked', 'NotYetKnownException', 'NotKmsAnswer')`,
    [sinceSeq],
  );
  return rows.map(
    ({ key_ref, generation, error }) => `taken back: generation ${generation} of ${key_ref}, because of ${error}`,
  );
}

/** Records that say that KMS has lost a key that it has. */
async function keysGivenUp({ kmsIn, database, lost }: Watched): Promise<string[]> {
  const { rows } = await database.query<{ id: string; arn: string; key_id: string; state: string }>(
    `SELECT id, arn, key_id, state FROM keys WHERE key_id IS NOT NULL AND key_state IS NULL AND state IN ('failed', 'deleted')`,
  );
  const found: string[] = [];
  for (const { id, arn, key_id, state } of rows) {
    if (lost.has(key_id)) continue;
    const isThere = await metadata(kmsIn(regionOf(arn)), key_id).catch(() => undefined);
    if (isThere !== undefined) found.push(`given up: ${id} is ${state}, and its key ${key_id} is in KMS`);
  }
  return found;
}

/** What is only reported stays as somebody made it, and is never touched on the way. */
async function wardsTouched({ kms, calls, wards, decidedOn }: Watched): Promise<string[]> {
  const found: string[] = [];
  for (const { id, keyId, drift_policy, theirs } of wards.values()) {
    if (theirs === null || drift_policy === 'enforce' || decidedOn.has(id)) continue;
    const { Description, KeyState } = await metadata(kms, keyId);
    const wanted = theirs.enabled ? 'Enabled' : 'Disabled';
    if (Description !== theirs.description || KeyState !== wanted) {
      found.push(`undone: ${keyId} of ${id} (${drift_policy}) is ${KeyState}, ${Description}, and was made ${wanted}`);
    }
    const writes = carriedOut(calls, /^(EnableKey|DisableKey|UpdateKeyDescription|PutKeyPolicy)$/);
    for (const { operation, at } of writes.filter(({ key_id }) => key_id === keyId)) {
      found.push(`undone: ${operation} of ${keyId} of ${id} (${drift_policy}) at ${at}`);
    }
  }
  return found;
}
