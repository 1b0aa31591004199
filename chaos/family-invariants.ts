/** What holds of the families of multi-Region keys when all is settled: records against what KMS tells of roles and replicas. */
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Client } from 'pg';
import type { Key } from '../src/schemas/key.ts';
import { metadata } from '../test/support/kms-truth.ts';
import type { LoggedCall } from '../test/support/service.ts';
import type { Lab } from './lab.ts';
import type { Ledger } from './ledger.ts';
import { regionOf } from './places.ts';
import { send } from './requests.ts';

type Looked = { lab: Lab; database: Client; calls: LoggedCall[]; ledger: Ledger };

/** @returns a sentence for each violation. */
export async function familyViolations(looked: Looked): Promise<string[]> {
  return [
    ...(await wrongRoles(looked)),
    ...(await claimedTwice(looked.database)),
    ...(await failedReplicas(looked.database)),
    ...(await unrecordedReplications(looked)),
    ...(await unaskedPromotions(looked)),
  ];
}

/** Milliseconds in which looks at a family have all of its records follow. */
const patience = 20_000;

/** What somebody did in KMS since the last look shows with the next one; of what has just changed it is not believed. */
async function wrongRoles({ lab, database }: Looked): Promise<string[]> {
  const deadline = performance.now() + patience;
  for (;;) {
    const wrong = await rolesAtOdds(lab, database);
    if (wrong.length === 0) return [];
    if (performance.now() > deadline) return wrong.map(({ violation }) => violation);
    const { url } = lab.replicas[0].service;
    for (const { id } of wrong) await send(url, 'POST', `/v1/keys/${id}/refresh`);
    await delay(300);
  }
}

type Member = { id: string; arn: string; key_id: string; replica_of: string | null };

/** Records whose roles and replicas are not those that KMS tells. */
async function rolesAtOdds(lab: Lab, database: Client): Promise<{ id: string; violation: string }[]> {
  const { rows } = await database.query<Member>(
    `SELECT id, arn, key_id, replica_of FROM keys WHERE multi_region AND arn IS NOT NULL AND state <> 'deleted'
       AND key_state IS NOT NULL AND arn NOT LIKE '%:us-east-1:%'`,
  );
  const records = new Map(rows.map(({ arn, id }) => [arn, id]));
  const { url } = lab.replicas[0].service;
  const found: { id: string; violation: string }[] = [];
  for (const { id, arn, key_id, replica_of } of rows) {
    const { MultiRegionConfiguration: family } = await metadata(lab.kmsIn(regionOf(arn)), key_id);
    const primaryArn = family?.PrimaryKey?.Arn ?? '';
    const isPrimary = primaryArn === arn;
    const body = (await send<Key>(url, 'GET', `/v1/keys/${id}`))?.body;
    if (body === undefined) return [{ id, violation: `roles: nobody answers what ${id} is` }];
    const shown = body.status.replicas.flatMap((replica) => replica.arn ?? []);
    const is = { replica_of, shown_of: body.replica_of, primary_arn: body.status.primary_arn, replicas: shown.sort() };
    const of = isPrimary ? null : (records.get(primaryArn) ?? null);
    const replicas = isPrimary ? (family?.ReplicaKeys ?? []).flatMap(({ Arn }) => Arn ?? []).sort() : [];
    const wanted = { replica_of: of, shown_of: of, primary_arn: isPrimary ? null : primaryArn, replicas };
    if (isDeepStrictEqual(is, wanted)) continue;
    const violation = `roles: ${arn} of ${id} is ${JSON.stringify(is)}, and KMS tells ${JSON.stringify(wanted)}`;
    found.push({ id, violation });
  }
  return found;
}

async function claimedTwice(database: Client): Promise<string[]> {
  const { rows } = await database.query<{ violation: string }>(
    `SELECT 'claimed twice: ' || arn || ', by ' || string_agg(id::text, ' and ') AS violation
       FROM keys WHERE state <> 'deleted' AND arn IS NOT NULL GROUP BY arn HAVING count(*) > 1
     UNION ALL
     SELECT 'asked twice: replicas of ' || replica_of || ' in ' || provider || ', ' || string_agg(id::text, ' and ')
       FROM keys WHERE state NOT IN ('deleted', 'failed') AND replica_of IS NOT NULL
       GROUP BY replica_of, provider HAVING count(*) > 1`,
  );
  return rows.map(({ violation }) => violation);
}

/** A replica is not made where its primary key is gone, disabled or pending deletion, or the Region has another's already. */
const reasons = ['NoPrimaryKey', 'AlreadyExistsException', 'DisabledException', 'KMSInvalidStateException'];

async function failedReplicas(database: Client): Promise<string[]> {
  const { rows } = await database.query<{ id: string; error: string }>(
    `SELECT id, error::text FROM keys WHERE replica_of IS NOT NULL AND state = 'failed'
       AND NOT coalesce(error->>'code' = ANY($1), false)`,
    [reasons],
  );
  return rows.map(({ id, error }) => `failed: the replica ${id}, because of ${error}`);
}

/** Each ReplicateKey that KMS has carried out is in the journal, but for those that somebody else may have sent. */
async function unrecordedReplications({ database, calls, ledger }: Looked): Promise<string[]> {
  const { rows } = await database.query<{ key: string; count: number }>(
    `SELECT (parameters->>'KeyId') || ' ' || (parameters->>'ReplicaRegion') AS key, count(*)::int FROM kms_writes
     WHERE operation = 'ReplicateKey' AND outcome IN ('done', 'unknown') GROUP BY 1`,
  );
  const recorded = new Map(rows.map(({ key, count }) => [key, count]));
  const carriedOut = calls.filter(({ operation, error }) => operation === 'ReplicateKey' && error === null);
  const groups = Map.groupBy(carriedOut, ({ key_id, parameters }) => `${key_id} ${parameters['ReplicaRegion']}`);
  return [...groups].flatMap(([key, { length }]) => {
    const [keyId, region] = key.split(' ') as [string, string];
    const others = ledger.family.replicated.filter((arn) => regionOf(arn) === region && arn.endsWith(`/${keyId}`));
    const most = (recorded.get(key) ?? 0) + others.length;
    return length <= most ? [] : [`not in the journal: ReplicateKey of ${key}, ${length} times, and ${most} on record`];
  });
}

/** Nobody is promoted whom nobody asked for, and none is promoted back. */
async function unaskedPromotions({ database, calls, ledger }: Looked): Promise<string[]> {
  const { rows } = await database.query<{ key_id: string; asked: number; recorded: number }>(
    `SELECT k.key_id, (SELECT count(*)::int FROM revisions r JOIN keys m ON m.id = r.key_ref
         WHERE m.key_id = k.key_id AND r.origin = 'promote') AS asked,
       (SELECT count(*)::int FROM kms_writes w JOIN keys m ON m.id = w.key_ref
         WHERE m.key_id = k.key_id AND w.operation = 'UpdatePrimaryRegion' AND w.outcome IN ('done', 'unknown')) AS recorded
     FROM keys k WHERE k.multi_region AND k.key_id IS NOT NULL
       -- Of a record that was let go of nothing is left to tell what it was asked for.
       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.type IN ('key.released', 'key.removed')
         AND e.data->>'arn' LIKE '%/' || k.key_id)
     GROUP BY k.key_id`,
  );
  const carriedOut = calls.filter(({ operation, error }) => operation === 'UpdatePrimaryRegion' && error === null);
  return rows.flatMap(({ key_id, asked, recorded }) => {
    const times = carriedOut.filter((call) => call.key_id === key_id).length;
    const others = ledger.family.promoted.filter((keyId) => keyId === key_id).length;
    if (times > recorded + others) return [`not in the journal: UpdatePrimaryRegion of ${key_id}, ${times} times`];
    if (others === 0 && times > asked) return [`promoted: ${key_id}, ${times} times, and ${asked} were asked for`];
    return [];
  });
}
