/** What sweeps have seen of keys that no record names: the table, and nothing else. */
import { Prisma, type Transaction } from '../../database/client.ts';
import { withoutReserved } from '../../domain/tags.ts';
import type { Inspected, ListedKey } from '../../kms/inventory.ts';
import type { Services } from '../context.ts';

/** A key of which a sweep has read what there is, and its aliases; null: KMS does not tell of any. */
export type Seen = { listed: ListedKey; inspected: Inspected; aliases: string[] | null; claimedId: string | null };

/** One sweep of one provider. `since`: when it began, by PostgreSQL's clock. */
export type Sweep = { provider: string; id: string; since: Date };

/** Those of the key ids that were read lately, and need not be read again; with their aliases, as they are now. */
export async function keepKnown(
  { database }: Services,
  { provider, id }: Sweep,
  keys: { key_id: string; aliases: string[] | null }[],
  checkedSince: Date,
): Promise<Set<string>> {
  const rows = await database.prisma.$queryRaw<{ key_id: string }[]>`
    UPDATE foreign_keys AS known SET sweep = ${id}::uuid, seen_at = now(), aliases = nullif(now_seen.aliases, 'null')
    FROM jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) AS now_seen (key_id text, aliases jsonb)
    WHERE known.provider = ${provider} AND known.key_id = now_seen.key_id
      AND known.claimed_id IS NULL AND known.checked_at > ${checkedSince}
    RETURNING known.key_id`;
  return new Set(rows.map(({ key_id }) => key_id));
}

/** @returns the id that it claimed before; null: none, or it was not known. */
export async function keepSeen(
  transaction: Transaction,
  { provider, id }: Sweep,
  { listed: { key_id, arn }, inspected: { key, tags }, aliases, claimedId }: Seen,
  ownershipTagName: string,
): Promise<string | null> {
  const where = { provider_key_id: { provider, key_id } };
  const before = await transaction.foreignKey.findUnique({ where, select: { claimed_id: true } });
  const now = new Date();
  const seen = {
    arn,
    description: key?.description ?? null,
    key_usage: key?.key_usage ?? null,
    customer_master_key_spec: key?.customer_master_key_spec ?? null,
    multi_region: key?.multi_region ?? null,
    key_state: key?.key_state ?? null,
    key_manager: key?.key_manager ?? null,
    is_replica: key?.is_replica ?? null,
    creation_date: key?.created_at ?? null,
    deletion_date: key?.deletion_date ?? null,
    tags_all: tags === null ? Prisma.DbNull : withoutReserved(tags, ownershipTagName),
    aliases: aliases ?? Prisma.DbNull,
    claimed_id: claimedId,
    sweep: id,
    checked_at: now,
    seen_at: now,
  };
  await transaction.foreignKey.upsert({ where, create: { provider, key_id, ...seen }, update: seen });
  return before?.claimed_id ?? null;
}

/** Forgets those that the sweep has not met: they are gone from KMS, or managed by now. */
export async function forgetUnseen({ database }: Services, { provider, id, since }: Sweep): Promise<void> {
  await database.prisma.foreignKey.deleteMany({ where: { provider, sweep: { not: id }, seen_at: { lt: since } } });
}

/** Puts on record how a sweep ended. @param error why it broke off; null: it did not. */
export async function recordSweep({ database }: Services, provider: string, error: string | null): Promise<void> {
  const ended = error === null ? { swept_at: new Date(), sweep_error: null } : { sweep_error: error };
  await database.prisma.provider.updateMany({ where: { name: provider }, data: ended });
}
