/** Grants that somebody makes in KMS, and that owners have revoked and retired: each ends once it was asked for, and no other. */
import { CreateGrantCommand, ListGrantsCommand } from '@aws-sdk/client-kms';
import type { Client } from 'pg';
import type { Lab } from './lab.ts';
import type { Ledger } from './ledger.ts';
import type { Mix } from './mix.ts';
import type { Operation } from './operations.ts';
import { keyIdOf, regionOf } from './places.ts';
import type { Random } from './random.ts';
import { send } from './requests.ts';

/** A grant, and what was asked of it. */
export type Grant = { id: string; grantId: string; arn: string; isAsked: boolean; promised: Date | null };

type World = { lab: Lab; mix: Mix; ledger: Ledger; ids: string[]; members: string[] };

/** Makes grants while all is calm, and plans the end of some of them, and of older ones. */
export async function planGrants(random: Random, world: World, mark: string): Promise<Operation[]> {
  const { lab, mix, ledger, ids, members } = world;
  if (!mix.has('grants', random, 0.25)) return [];
  const { rows } = await (await lab.database()).query<{ id: string; arn: string }>(
    "SELECT id, arn FROM keys WHERE id = ANY($1) AND key_state = 'Enabled' ORDER BY created_at",
    [[...ids, ...members]],
  );
  const [first, ...others] = rows;
  if (first === undefined) return [];
  for (let count = random.between(1, 4); count > 0; count -= 1) {
    const grant = await give(lab, random.pick([first, ...others]));
    if (grant !== null) ledger.grants.push(grant);
  }
  const operations: Operation[] = [];
  for (const grant of ledger.grants.slice(-8)) {
    const how = random.pick(['revoke', 'retire', 'revoke', 'nothing', 'nothing'] as const);
    const times = random.pick([1, 1, 2]);
    for (let count = 0; how !== 'nothing' && count < times; count += 1) {
      const name = `${mark} ${how} grant ${grant.grantId.slice(0, 8)} ${count}`;
      operations.push({ name, kind: 'grants', at: random.between(0, 900), run: (url) => end(url, grant, how) });
    }
  }
  return operations;
}

/** @returns null where KMS makes none. */
async function give({ kmsIn }: Lab, { id, arn }: { id: string; arn: string }): Promise<Grant | null> {
  const [GranteePrincipal, RetiringPrincipal] = ['role/app', 'user/local'].map(
    (name) => `arn:aws:iam::111122223333:${name}`,
  );
  const command = new CreateGrantCommand({
    KeyId: keyIdOf(arn),
    GranteePrincipal,
    RetiringPrincipal,
    Operations: ['Decrypt'],
  });
  const made = await kmsIn(regionOf(arn))
    .send(command)
    .catch(() => null);
  return made?.GrantId === undefined ? null : { id, arn, grantId: made.GrantId, isAsked: false, promised: null };
}

async function end(url: string, grant: Grant, how: 'revoke' | 'retire'): Promise<void> {
  grant.isAsked = true;
  const answer = await send(url, 'POST', `/v1/keys/${grant.id}/grants/${grant.grantId}/${how}`);
  if (answer !== null && answer.status < 300) grant.promised ??= answer.asked;
}

type Told = { id: string; grant_id: string; outcomes: string[] };

/** @returns a sentence for each violation. */
export async function grantViolations({ kmsIn }: Lab, database: Client, ledger: Ledger): Promise<string[]> {
  const { rows } = await database.query<Told>(
    `SELECT k.id, e.parameters->>'GrantId' AS grant_id, array_agg(e.outcome) AS outcomes FROM keys k
     JOIN errands e ON e.key_ref = k.id AND e.operation <> 'RotateKeyOnDemand' GROUP BY 1, 2`,
  );
  const known = await database.query<{ id: string }>('SELECT id FROM keys');
  const records = new Set(known.rows.map(({ id }) => id));
  const told = new Map(rows.map(({ grant_id, outcomes }) => [grant_id, outcomes]));
  const found: string[] = [];
  for (const grant of ledger.grants) {
    const { id, grantId, arn, isAsked, promised } = grant;
    if (ledger.lost.has(keyIdOf(arn))) continue;
    const isThere = await isListed(kmsIn, grant);
    const outcomes = told.get(grantId) ?? [];
    const name = `grant ${grantId} of ${arn} of ${id}`;
    if (!isThere && !isAsked) found.push(`ended: ${name}, which nobody asked for`);
    if (isThere && outcomes.includes('done')) found.push(`granted: ${name} is told to have ended, and is there`);
    if (!records.has(id) || ledger.rotatedUnseen.has(id)) continue;
    if (promised !== null && outcomes.length === 0) found.push(`missing: the end of ${name} is not on record`);
    if (!isThere && isAsked && !outcomes.includes('done'))
      found.push(`untold: ${name} has ended, and is told not to have`);
  }
  return found;
}

async function isListed(kmsIn: Lab['kmsIn'], { arn, grantId }: Grant): Promise<boolean> {
  const kms = kmsIn(regionOf(arn));
  const { Grants = [] } = await kms.send(new ListGrantsCommand({ KeyId: keyIdOf(arn), GrantId: grantId }));
  return Grants.length > 0;
}
