/** Records what is wanted, in one transaction: the key's row, the revision, the event and the wake-up of its sync. */

import { isDeepStrictEqual } from 'node:util';
import type { Transaction } from '../../database/client.ts';
import { Prisma } from '../../database/client.ts';
import { announceNewKey } from '../../database/notifications.ts';
import { addedNames, type TakenAlias } from '../../domain/aliases.ts';
import type { RevisionOrigin } from '../../domain/events.ts';
import { nextGeneration } from '../../domain/gap.ts';
import { type TagSettings, tagViolations } from '../../domain/tags.ts';
import { assertMayDeclare } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { invalidInput } from '../problems.ts';
import { type HeldSettings, holdSettings } from '../providers/settings.ts';
import { columnsOf, type DeclaredKey, declaredOf, observedOf } from '../rows/declared.ts';
import { decidedOn } from '../rows/gap.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { stateWhileSyncing } from '../rows/predicates.ts';
import { type Columns, insertRow, insertRows, oneMoreAsked, statusMoves, writeRow } from '../rows/write.ts';
import { claimAliases, giveAliasesBack } from './aliases.ts';
import { type Asker, recordRevision, recordRevisions } from './revision-record.ts';
import { neighboursOf } from './same-kms.ts';

export type NewKey = {
  id: string;
  provider: string;
  declared: DeclaredKey;
  origin: 'create' | 'import';
  /** Whether nobody can have used the id before, not even in a database that has been lost since: KMS has no key of it then. */
  isNewId: boolean;
  /** Of a key that exists in KMS already. */
  identity?: Pick<KeyRow, 'arn' | 'key_id'>;
  /** Aliases of other keys; null: it was not asked to take any. */
  taken?: TakenAlias[] | null;
  /** Of a replica: the record of its primary key, and what must hold of that in the transaction that records it. */
  replicaOf?: { id: string; assertFree?(transaction: Transaction): Promise<void> };
  /** Milliseconds after which it is tried at the latest: something that is to come first wakes it. */
  dueIn?: number;
  /** Recorded with it, and made when KMS has it. */
  replicas?: NewKey[];
};

/** What the transaction that records a key has found. */
export type Beginning = HeldSettings & { generation: number };

/** What lets the transaction that records a key begin with its sync as well. */
export type HeadStart = {
  /** @returns the columns that say so; null: by now that is not possible. */
  begin(transaction: Transaction, found: Beginning): Promise<object | null>;
  /** Goes on with a key that is recorded; one that was not begun is left to its turn. */
  go(row: KeyRow): void;
  /** The key was not recorded. */
  giveUp(): void;
};

/**
 * Records a key that Keyward did not have.
 * @param headStart only for a new id.
 * @returns its first generation: 1, or more where the id had generations before, or another record may have had it before a gap.
 * @throws Prisma's P2010 when the ARN is on record already; ProblemError invalid-input when the provider's settings have
 * changed meanwhile, so that the key can't be had.
 */
export async function recordNewKey(
  services: Services,
  key: NewKey,
  by: Asker,
  headStart: HeadStart | null = null,
): Promise<number> {
  const row = await insertNewKey(services, key, by, headStart).catch((error) => {
    headStart?.giveUp();
    throw error;
  });
  await services.failurePoints.pass('intent-recorded');
  headStart?.go(row);
  return row.generation;
}

async function insertNewKey(services: Services, key: NewKey, by: Asker, headStart: HeadStart | null): Promise<KeyRow> {
  const placed = await inPlace(services, key);
  const replicas = await Promise.all((key.replicas ?? []).map((replica) => inPlace(services, replica)));
  return services.database.prisma.$transaction(async (transaction) => {
    const { row, isBegun } = await insertOne(services, transaction, placed, by, headStart);
    // The run of a command is found by the revision of the key alone.
    const ofReplicas = { ...by, commandId: undefined };
    for (const replica of replicas) await insertOne(services, transaction, replica, ofReplicas, null);
    if (!isBegun) {
      if (key.isNewId) {
        services.unmade.add(key.id);
        await announceNewKey(transaction, key.id);
      }
      await services.notifications.wake(transaction, row, by.actor);
    }
    return row;
  });
}

type Placed = NewKey & { apart: string[] };

async function inPlace(services: Services, key: NewKey): Promise<Placed> {
  return { ...key, apart: (await neighboursOf(services, key.provider, key.declared.aliases ?? [])).apart };
}

async function insertOne(
  services: Services,
  transaction: Transaction,
  key: Placed,
  by: Asker,
  headStart: HeadStart | null,
): Promise<{ row: KeyRow; isBegun: boolean }> {
  const last = key.isNewId ? 0 : ((await lastGenerations(transaction, [key.id])).get(key.id) ?? 0);
  const held = await holdSettings(transaction, key.provider, null);
  await key.replicaOf?.assertFree?.(transaction);
  const generation = key.isNewId ? 1 : nextGeneration(last, held.gap);
  const columns = columnsOfNew(services, key, { ...held, generation }, by);
  const { id, provider, apart } = key;
  const claim = { id, provider, apart, before: null, after: key.declared, taken: key.taken ?? [] };
  await claimAliases(services, transaction, claim, { ...by, ...held });
  const begun = (await headStart?.begin(transaction, { ...held, generation })) ?? null;
  const row = await insertRow(transaction, { ...columns, ...begun });
  const { origin, declared, taken } = key;
  await recordRevision(transaction, { keyId: key.id, generation, origin, declared, taken }, by);
  return { row, isBegun: begun !== null };
}

/**
 * Records keys of one provider that exist in KMS, all or none. They are due, and nobody waits for their first syncs.
 * @param also done in the same transaction, before anything else.
 * @throws as recordNewKey
 */
export async function recordFoundKeys(
  services: Services,
  provider: string,
  keys: readonly NewKey[],
  by: Asker,
  also: (transaction: Transaction) => Promise<void>,
): Promise<void> {
  await services.database.prisma.$transaction(async (transaction) => {
    await also(transaction);
    const last = await lastGenerations(
      transaction,
      keys.map(({ id }) => id),
    );
    const held = await holdSettings(transaction, provider, null);
    const found = keys.map((key) => ({ key, generation: nextGeneration(last.get(key.id) ?? 0, held.gap) }));
    await insertRows(
      transaction,
      found.map(({ key, generation }) => columnsOfNew(services, key, { ...held, generation }, by)),
    );
    const revisions = found.map(({ key, generation }) => {
      return { keyId: key.id, generation, origin: key.origin, declared: key.declared };
    });
    await recordRevisions(transaction, revisions, by);
  });
  await services.failurePoints.pass('intent-recorded');
}

/** The rows of a new key. @throws ProblemError invalid-input, forbidden. */
function columnsOfNew(services: Services, key: NewKey, { gap, now, settings, generation }: Beginning, by: Asker) {
  assertTagsFit(key.declared, settings, services.ownershipTagName);
  const columns = columnsOf(key.declared, settings);
  const after = { provider: key.provider, tags_all: columns.tags_all };
  assertMayDeclare(by.rights, { id: key.id, before: null, after, policy: true, ...bypassOf(key.declared) });
  return {
    id: key.id,
    provider: key.provider,
    ...key.identity,
    replica_of: key.replicaOf?.id ?? null,
    ...columns,
    ...decidedOn(gap),
    generation,
    state: key.origin === 'create' ? 'creating' : 'updating',
    due_at: new Date(now + (key.dueIn ?? 0)),
    creator: key.identity === undefined ? by.actor : null,
  };
}

/** Of ids that had a life before. */
async function lastGenerations(transaction: Transaction, ids: string[]): Promise<Map<string, number>> {
  const last = await transaction.revision.groupBy({
    by: ['key_ref'],
    where: { key_ref: { in: ids } },
    _max: { generation: true },
  });
  return new Map(last.map(({ key_ref, _max }) => [key_ref, _max.generation ?? 0]));
}

/** What is decided on a key. `columns`, `also`: what else is put on record with it. */
type Change = {
  declared: DeclaredKey;
  origin: RevisionOrigin;
  columns?: Columns;
  also?: (transaction: Transaction) => Promise<void>;
  headStart?: HeadStart | null;
  /** Aliases of other keys; null: it was not asked to take any. */
  taken?: TakenAlias[] | null;
};

/**
 * Records a further generation of a key.
 * @param row the key as the decision was made on it.
 * @returns the new generation, or null when the key has changed since `row` was read: decide again.
 * @throws ProblemError invalid-input when the provider's default tags have changed meanwhile and leave no room for the tags.
 */
export async function recordChange(services: Services, row: KeyRow, change: Change, by: Asker): Promise<number | null> {
  const { headStart = null } = change;
  const recorded = await updateKeyRow(services, row, change, by).catch((error) => {
    headStart?.giveUp();
    throw error;
  });
  await services.failurePoints.pass('intent-recorded');
  if (recorded === null) headStart?.giveUp();
  else headStart?.go(recorded);
  return recorded?.generation ?? null;
}

async function updateKeyRow(services: Services, row: KeyRow, change: Change, by: Asker): Promise<KeyRow | null> {
  const added = addedNames(declaredOf(row).aliases, change.declared.aliases);
  const { apart } = await neighboursOf(services, row.provider, added);
  return services.database.prisma.$transaction(async (transaction) => {
    const held = await holdSettings(transaction, row.provider, row.id);
    const { gap, now, settings } = held;
    const generation = nextGeneration(row.generation, gap);
    const before = declaredOf(row);
    const { id, provider } = row;
    const claim = { id, provider, apart, before, after: change.declared, taken: change.taken ?? [] };
    await claimAliases(services, transaction, claim, { ...by, gap, now });
    if (change.declared.lifecycle === 'managed') assertTagsFit(change.declared, settings, services.ownershipTagName);
    const begun = (await change.headStart?.begin(transaction, { ...held, generation })) ?? null;
    const columns = columnsOf(change.declared, settings);
    const after = { provider: row.provider, tags_all: columns.tags_all };
    const policy = isSentAnew(change.origin) || isPolicyTouched(before, change.declared);
    assertMayDeclare(by.rights, { id: row.id, before: row, after, policy, ...bypassOf(change.declared) });
    const data = {
      ...columns,
      ...change.columns,
      ...decidedOn(gap),
      generation,
      state: stateWhileSyncing(row, change.declared),
      error: Prisma.DbNull,
      attempts: 0,
      due_at: new Date(now),
      creator: isToBeMade(row, change.declared) ? by.actor : null,
      ...statusMoves,
      ...oneMoreAsked,
      updated_at: new Date(),
    };
    const where = { id: row.id, generation: row.generation };
    const taken =
      begun === null ? null : await writeRow(transaction, { ...where, lease_token: null }, { ...data, ...begun });
    const changed = taken ?? (await writeRow(transaction, where, data));
    if (changed === null) return null;
    const policyBefore = row.policy === null ? (observedOf(row)?.policy ?? null) : null;
    const revision = { keyId: row.id, generation, ...change, before, policyBefore };
    await recordRevision(transaction, revision, by);
    await change.also?.(transaction);
    if (change.origin === 'delete') await giveAliasesBack(services, transaction, row, { ...by, gap, now });
    if (taken === null) await services.notifications.wake(transaction, changed, by.actor);
    return changed;
  });
}

/** Whether KMS is to have a key for the first time. */
function isToBeMade({ key_id, replacement }: KeyRow, { lifecycle }: DeclaredKey): boolean {
  return key_id === null && replacement === null && lifecycle === 'managed';
}

function bypassOf({ bypass_policy_lockout_safety_check: bypasses }: DeclaredKey) {
  return { bypasses };
}

/** Whether another KMS key is made, with the policy: without KMS's check where that is declared, whoever declared it. */
function isSentAnew(origin: RevisionOrigin): boolean {
  return origin === 'replace' || origin === 'recreate';
}

/** Whether a change sends the policy to KMS, or has it be sent without KMS's check from now on. */
function isPolicyTouched(before: DeclaredKey, after: DeclaredKey): boolean {
  if (before.bypass_policy_lockout_safety_check !== after.bypass_policy_lockout_safety_check) return true;
  return !isDeepStrictEqual(before.policy, after.policy);
}

/** By the settings that hold when the intent is recorded: they may be others than those by which the input was checked. */
function assertTagsFit({ tags }: DeclaredKey, settings: TagSettings, ownershipTagName: string): void {
  const violations = tagViolations(tags, settings, ownershipTagName);
  if (violations.length > 0) throw invalidInput(violations);
}
