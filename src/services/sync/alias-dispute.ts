/**
 * Two records that declare one alias of one KMS: each would fetch it from the other for ever. Claims keep that from being declared; it
 * comes about where two providers come to lead to one KMS afterwards. The key that has declared it longer keeps it.
 */
import type { Transaction } from '../../database/client.ts';
import { aliasChanges } from '../../domain/aliases.ts';
import { nextGeneration } from '../../domain/gap.ts';
import { recordRevision } from '../keys/revision-record.ts';
import { declaredOf } from '../rows/declared.ts';
import { isSynced, stateWhileSyncing } from '../rows/predicates.ts';
import { holdRow, statusMoves, writeRow } from '../rows/write.ts';
import { LeaseLost } from './lease.ts';
import type { Ended, Sync } from './sync.ts';

/**
 * Of a key that was as declared: declares those names no more that point at the keys of records which have declared them longer. Nothing
 * is fetched that would be fetched back. A change at hand is refused for such a name.
 * @throws LeaseLost
 */
export async function leaveAliases(sync: Sync): Promise<Sync | Ended> {
  const { services, work, mode, desired, look } = sync;
  const { row, lease } = work;
  if (mode !== 'enforce' || row.lifecycle !== 'managed' || !isSynced(row)) return sync;
  if (desired.aliases === null || look.observed === null) return sync;
  const { elsewhere } = aliasChanges(desired.aliases, look.observed);
  const lost = await declaredLonger(sync, elsewhere);
  if (lost.length === 0) return sync;
  const before = declaredOf(row);
  const declared = { ...before, aliases: before.aliases?.filter((name) => !lost.includes(name)) ?? null };
  const generation = nextGeneration(row.generation, lease.gap);
  const next = await services.database.prisma.$transaction(async (transaction) => {
    const fence = { ...lease.fence, asked: row.asked };
    const state = stateWhileSyncing(row, declared);
    const columns = { aliases: declared.aliases ?? [], generation, state, ...statusMoves, updated_at: new Date() };
    const changed = await writeRow(transaction, fence, columns);
    if (changed === null) return holdRow(transaction, lease.fence);
    await recordLoss(transaction, { keyId: row.id, generation, declared, before });
    return changed;
  });
  if (next === null) throw new LeaseLost(row.id);
  await services.failurePoints.pass('intent-recorded');
  services.log.warn({ key: row.id, aliases: lost }, 'another record has declared these aliases longer');
  return { next, look };
}

type Loss = Pick<Parameters<typeof recordRevision>[1], 'keyId' | 'generation' | 'declared'> & {
  before: ReturnType<typeof declaredOf>;
};

function recordLoss(transaction: Transaction, loss: Loss): Promise<void> {
  const revision = { ...loss, origin: 'alias_taken' as const };
  return recordRevision(transaction, revision, { actor: 'keyward', requestId: 'none' });
}

/** Those of the names that the records of the keys which they point at have declared for longer than this one. */
export async function declaredLonger(
  { services: { database }, access: { kms }, work: { row } }: Pick<Sync, 'services' | 'access' | 'work'>,
  elsewhere: { name: string; from: string }[],
): Promise<string[]> {
  if (elsewhere.length === 0) return [];
  const since = `coalesce((
    SELECT max(revisions.created_at) FROM revisions
    WHERE revisions.key_ref = keys.id AND revisions.changes::jsonb #> '{aliases,after}' ? place.name
      AND NOT coalesce(revisions.changes::jsonb #> '{aliases,before}' ? place.name, false)), keys.created_at)`;
  const { rows } = await database.pool.query<{ name: string }>(
    `SELECT DISTINCT place.name FROM json_to_recordset($1::json) AS place (name text, "from" text)
    JOIN keys AS own ON own.id = $2::uuid
    JOIN declared_aliases AS claim ON claim.name = place.name AND claim.key_ref <> own.id
    JOIN keys AS other ON other.id = claim.key_ref AND other.key_id = place.from AND split_part(other.arn, ':', 4) = $3 AND other.lifecycle = 'managed'
    WHERE (${since.replaceAll('keys.', 'other.')}, other.id) < (${since.replaceAll('keys.', 'own.')}, own.id)`,
    [JSON.stringify(elsewhere), row.id, kms.region],
  );
  return rows.map(({ name }) => name);
}
