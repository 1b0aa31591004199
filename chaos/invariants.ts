/** The invariants of the design, checked against KMS itself. */
import { isDeepStrictEqual } from 'node:util';
import type { KMSClient } from '@aws-sdk/client-kms';
import type { Client } from 'pg';
import { aliases, allKeyIds, metadata, onDemandRotations, tags } from '../test/support/kms-truth.ts';
import type { LoggedCall } from '../test/support/service.ts';
import { arnIn, arnOf, home, keyIdOf, regionOf } from './places.ts';
import {
  allFormers,
  allRotated,
  allRows,
  type Former,
  type Held,
  heldKey,
  missingBeforeItsTime,
  type Rotated,
  type Row,
} from './truth.ts';

const ownershipTag = 'keyward:id';

/** Keys that somebody else made, by their ARNs, and how they are to be. Without their ownership tag, if Keyward had them for a while. */
export type ForeignKeys = Map<string, Held>;

export type Expected = {
  /** Keys that no record has to name. */
  foreign: ForeignKeys;
  /** Keys that somebody else made away with. */
  lost?: ReadonlySet<string>;
  /** Records whose keys may have been rotated oftener than is on record. */
  rotatedUnseen?: ReadonlySet<string>;
  /** Aliases that somebody else has moved, and that no look has come by since. */
  movedAliases?: ReadonlySet<string>;
  /** Records whose keys somebody else has changed: they may differ. */
  wards?: ReadonlySet<string>;
  /** The records whose keys are compared in full; all where undefined. Duplicates are looked for everywhere. */
  only?: ReadonlySet<string>;
};

type Places = { kms: KMSClient; database: Client };

/**
 * Checks all there is in the Region of the client: the replicas of a multi-Region key share its id, each in a Region of its own.
 * @returns a sentence for each violation.
 */
export async function violations({ kms, database }: Places, expected: Expected): Promise<string[]> {
  const { lost = new Set(), movedAliases = new Set(), rotatedUnseen, wards, only } = expected;
  const region = await kms.config.region();
  const isHere = ([arn]: [string, Held]) => regionOf(arn) === region;
  const foreign = new Map([...expected.foreign].filter(isHere).map(([arn, held]) => [keyIdOf(arn), held]));
  const isChecked = (id: string) => (only === undefined || only.has(id)) && wards?.has(id) !== true;
  const rows = (await allRows(database)).filter(({ arn }) => arn === null || regionOf(arn) === region);
  const formers = await allFormers(database);
  const inKms = await allKeyIds(kms);
  const found = await identityViolations(kms, inKms, { rows, formers, foreign, lost });
  for (const row of rows) {
    // One that failed before KMS ever held it as declared need not be as declared.
    const isHeld = row.state !== 'failed' || row.synced_generation > 0;
    if (row.key_id !== null && isHeld && isChecked(row.id) && !lost.has(row.key_id)) {
      found.push(...(await contentViolations(kms, row)), ...(await aliasViolations(kms, row, movedAliases)));
    }
  }
  const there = new Set(inKms);
  for (const former of formers.filter(({ key_ref }) => isChecked(key_ref))) {
    found.push(...(await formerViolations(kms, former, there)));
  }
  const rotations = await allRotated(database);
  for (const rotated of rotations.filter(({ id }) => isChecked(id) && rotatedUnseen?.has(id) !== true)) {
    if (rotated.key_ids.every((keyId) => there.has(keyId))) found.push(...(await rotationViolations(kms, rotated)));
  }
  for (const [keyId, before] of foreign) {
    const now = await heldKey(kms, keyId);
    if (!isDeepStrictEqual(comparable(keyId, now), comparable(keyId, before))) {
      found.push(
        `changed: ${keyId} is nobody's to change, and was ${JSON.stringify(before)}, is ${JSON.stringify(now)}`,
      );
    }
  }
  return [...found, ...(await historyViolations(database))];
}

/** A key of a family rotates with its primary key, which may be anybody's. */
function comparable(keyId: string, held: Held): Held {
  return keyId.startsWith('mrk-') ? { ...held, rotation: null } : held;
}

type OnRecord = { rows: Row[]; formers: Former[]; foreign: ReadonlyMap<string, Held>; lost: ReadonlySet<string> };

/** No two keys with one ownership tag but former ones, no key without a record, no record whose key is another's. */
async function identityViolations(
  kms: KMSClient,
  inKms: string[],
  { rows, formers, foreign, lost }: OnRecord,
): Promise<string[]> {
  const found: string[] = [];
  const recordOf = new Map(rows.flatMap((row) => (row.key_id === null ? [] : [[row.key_id, row.id] as const])));
  const formerOf = new Map(formers.map(({ key_id, key_ref }) => [key_id, key_ref]));
  const owners = new Map<string, string>();
  for (const keyId of inKms) {
    const owner = (await tags(kms, keyId))[ownershipTag];
    if (owner === undefined) {
      if (!foreign.has(keyId)) found.push(`no owner: ${keyId} has neither an ownership tag nor another owner`);
      continue;
    }
    if (formerOf.get(keyId) === owner && !recordOf.has(keyId)) continue;
    // A key made in a time that the database has lost carries the tag of a record that has another.
    if (foreign.has(keyId) && recordOf.get(keyId) !== owner) continue;
    const twin = owners.get(owner);
    if (twin !== undefined) found.push(`duplicate: ${twin} and ${keyId} both carry the ownership tag of ${owner}`);
    owners.set(owner, keyId);
    if (recordOf.get(keyId) !== owner)
      found.push(`no record: ${keyId} carries the tag of ${owner}, whose record does not name it`);
  }
  for (const [keyId, id] of recordOf) {
    const row = rows.find((candidate) => candidate.id === id);
    if (formerOf.get(keyId) === id) found.push(`both: ${keyId} is the key of record ${id} and a former one`);
    if (owners.get(id) !== keyId && row?.state !== 'deleted' && !lost.has(keyId))
      found.push(`not owned: ${keyId} of record ${id} lacks its ownership tag`);
  }
  return found;
}

/** A former key's deletion is scheduled, or the record tells why not. */
async function formerViolations(kms: KMSClient, former: Former, inKms: Set<string>): Promise<string[]> {
  const { key_id, key_ref, deletion, is_told } = former;
  // Whose it is nobody knows: it is not Keyward's to delete, and shown as a stray one.
  if (deletion === 'left') return [];
  if (deletion === 'waiting')
    return is_told ? [] : [`former: nobody tells that ${key_id} of ${key_ref} is still there`];
  if (!inKms.has(key_id)) return [];
  const { KeyState } = await metadata(kms, key_id);
  if (deletion === 'scheduled' && KeyState === 'PendingDeletion') return [];
  return [`former: ${key_id} of ${key_ref} is ${deletion} on record, and ${KeyState} in KMS`];
}

/** Each rotation that is told to be done was made once. */
async function rotationViolations(kms: KMSClient, { id, key_ids, done, uncertain }: Rotated): Promise<string[]> {
  let made = 0;
  for (const keyId of key_ids) made += await onDemandRotations(kms, keyId);
  if (made >= done && made <= done + uncertain) return [];
  return [`rotations: the keys of ${id} were rotated ${made} times, ${done} are told to be done`];
}

async function contentViolations(kms: KMSClient, row: Row): Promise<string[]> {
  const held = await heldKey(kms, row.key_id ?? '');
  const differs = (field: string, wanted: unknown, is: unknown) =>
    isDeepStrictEqual(wanted, is)
      ? []
      : [
          `lost: ${field} of ${row.id} is to be ${JSON.stringify(wanted)} at generation ${row.generation}, is ${JSON.stringify(is)}`,
        ];
  const { MultiRegionConfiguration: family } = await metadata(kms, row.key_id ?? '');
  if (row.lifecycle === 'pending_deletion') {
    const waits = (family?.ReplicaKeys ?? []).length > 0 && family?.MultiRegionKeyType === 'PRIMARY';
    return differs('key_state', waits ? 'PendingReplicaDeletion' : 'PendingDeletion', held.key_state);
  }
  return [
    ...differs('description', row.description, held.description),
    ...differs('key_state', row.is_enabled ? 'Enabled' : 'Disabled', held.key_state),
    ...differs('key_spec', row.customer_master_key_spec, held.key_spec),
    // What a replica declares of it is not that of its primary key.
    ...(family?.MultiRegionKeyType !== 'REPLICA'
      ? differs('rotation', row.enable_key_rotation, held.rotation?.enabled ?? false)
      : []),
    ...differs('tags', { ...row.tags_all, [ownershipTag]: row.id }, held.tags),
    ...(row.policy === null ? [] : differs('policy', row.policy, held.policy)),
  ];
}

/** A key has exactly the aliases that are declared; one that KMS is to delete keeps those that it has. */
async function aliasViolations(kms: KMSClient, row: Row, moved: ReadonlySet<string>): Promise<string[]> {
  const { id, key_id: keyId, aliases: declared, lifecycle, state } = row;
  if (declared === null || keyId === null || lifecycle !== 'managed' || state === 'failed') return [];
  const settled = (names: string[]) => names.filter((name) => !moved.has(name)).sort();
  const is = settled(await aliases(kms, keyId));
  const wanted = settled(declared);
  if (isDeepStrictEqual(wanted, is)) return [];
  return [
    `aliases: those of ${id} are to be ${wanted.join(', ')} at generation ${row.generation}, are ${is.join(', ')}`,
  ];
}

/** Every generation has its revision and event, every write its outcome and event. */
async function historyViolations(database: Client): Promise<string[]> {
  const { rows } = await database.query<{ violation: string }>(`
    -- A gap in the database's time is one in the numbers too: the next generation after it is the number of the gap, or more.
    SELECT 'missing revision: ' || k.id || ' generation ' || k.generation AS violation
      FROM keys k LEFT JOIN revisions r ON r.key_ref = k.id AND r.generation = k.generation WHERE r.key_ref IS NULL
    UNION ALL
    SELECT 'missing revision: ' || r.key_ref || ' before generation ' || r.generation FROM revisions r
      WHERE r.generation > 1 AND NOT EXISTS (
          SELECT 1 FROM revisions b WHERE b.key_ref = r.key_ref AND b.generation = r.generation - 1)
        AND NOT EXISTS (SELECT 1 FROM events e WHERE e.type = 'recovery.gap' AND (e.data->>'gap')::int = r.generation)
    UNION ALL
    SELECT 'missing event: ' || r.key_ref || ' generation ' || r.generation FROM revisions r
      WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.key_ref = r.key_ref AND e.generation = r.generation
        AND e.type = 'desired_state.changed')
    UNION ALL
    SELECT 'unsettled revision: ' || r.key_ref || ' generation ' || r.generation FROM revisions r WHERE r.outcome = 'pending'
      AND NOT EXISTS (SELECT 1 FROM keys k WHERE k.id = r.key_ref AND ${missingBeforeItsTime})
    UNION ALL
    SELECT 'open write: ' || w.operation || ' of ' || w.key_ref FROM kms_writes w WHERE w.outcome IS NULL
    UNION ALL
    SELECT 'missing event: ' || w.operation || ' of ' || w.key_ref || ', ' || count(*) || ' writes'
      FROM (SELECT coalesce(f.key_ref, w.key_ref) AS key_ref, w.operation, w.outcome FROM kms_writes w
        LEFT JOIN former_keys f ON f.id = w.key_ref) w
      -- Where a lost key came back to the record, since another in its place was refused, its writes stay apart.
      WHERE EXISTS (SELECT 1 FROM revisions r WHERE r.key_ref = w.key_ref) AND w.outcome IN ('done', 'refused', 'not_done', 'unknown') GROUP BY w.key_ref, w.operation, w.outcome
      HAVING count(*) > (SELECT count(*) FROM events e WHERE e.key_ref = w.key_ref AND e.type = 'kms.write'
        AND e.data->>'operation' = w.operation AND e.data->>'outcome' = w.outcome)
    UNION ALL
    SELECT 'claimed twice: ' || name || ' of provider ' || provider || ', by ' || string_agg(id::text, ' and ')
      FROM keys, jsonb_array_elements_text(keys.aliases) AS name WHERE state <> 'deleted' GROUP BY name, provider HAVING count(*) > 1
    UNION ALL
    SELECT 'stray key: ' || e.key_ref FROM events e WHERE e.type = 'key.stray' AND NOT EXISTS (
      SELECT 1 FROM former_keys f WHERE f.key_ref = e.key_ref AND f.arn = e.data->>'arn' AND f.deletion = 'left')`);
  return rows.map(({ violation }) => violation);
}

/**
 * Every write that KMS has carried out is in the journal, as done or with its outcome unknown.
 * @param pointedOutside for each alias that somebody else has moved, the key that it points at since.
 */
export async function unrecordedWrites(
  database: Client,
  calls: LoggedCall[],
  pointedOutside: string[],
): Promise<string[]> {
  const carriedOut = new Map<string, number>();
  for (const keyId of pointedOutside) {
    const write = JSON.stringify([arnIn(home, keyId), 'UpdateAlias']);
    carriedOut.set(write, (carriedOut.get(write) ?? 0) - 1);
  }
  for (const call of calls) {
    const { operation, error } = call;
    // What is done to a primary key for its replicas is told apart by its parameters.
    if (error !== null || /^(CreateKey|ReplicateKey|UpdatePrimaryRegion|Get.*|List.*|Describe.*)$/.test(operation))
      continue;
    const write = JSON.stringify([arnOf(call), operation]);
    carriedOut.set(write, (carriedOut.get(write) ?? 0) + 1);
  }
  const { rows } = await database.query<{ arn: string; operation: string; count: number }>(
    `SELECT k.arn, w.operation, count(*)::int AS count FROM kms_writes w
     JOIN (SELECT id, arn FROM keys UNION ALL SELECT id, arn FROM former_keys) k ON k.id = w.key_ref
     WHERE w.outcome IN ('done', 'unknown') AND k.arn IS NOT NULL
       -- Of a key that was let go of, and has another record by now, the first one's writes are not to be found any more.
       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.type = 'key.released' AND e.data->>'arn' = k.arn)
     GROUP BY k.arn, w.operation`,
  );
  const recorded = new Map(rows.map(({ arn, operation, count }) => [JSON.stringify([arn, operation]), count]));
  const known = new Set(rows.map(({ arn }) => arn));
  return [...carriedOut].flatMap(([write, count]) => {
    const [arn] = JSON.parse(write) as [string];
    // Of a key that was released there is no record any more to tell its id.
    if (!known.has(arn) || count <= (recorded.get(write) ?? 0)) return [];
    return [`not in the journal: KMS carried out ${write} ${count} times, on record are ${recorded.get(write) ?? 0}`];
  });
}
