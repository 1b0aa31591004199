/** What sweeps have seen of keys that no record names: the table, and nothing else. */
import type { Transaction } from '../../database/client.ts';
import { insertAll } from '../../database/insert.ts';
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

/** @returns the id that it claimed when it was seen before; null: none, or it was not known. */
export async function claimedBefore(transaction: Transaction, provider: string, keyId: string): Promise<string | null> {
  const where = { provider_key_id: { provider, key_id: keyId } };
  return (await transaction.foreignKey.findUnique({ where, select: { claimed_id: true } }))?.claimed_id ?? null;
}

/** Puts on record what was seen of some keys, no two of them the same. */
export async function keepSeen(
  transaction: Pick<Transaction, '$executeRawUnsafe'>,
  { provider, id }: Sweep,
  seen: Seen[],
  ownershipTagName: string,
): Promise<void> {
  const now = new Date();
  const rows = seen.map(({ listed: { key_id, arn }, inspected: { key, tags }, aliases, claimedId }) => ({
    provider,
    key_id,
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
    tags_all: tags === null ? null : withoutReserved(tags, ownershipTagName),
    aliases,
    claimed_id: claimedId,
    sweep: id,
    checked_at: now,
    seen_at: now,
  }));
  await insertAll(transaction, 'foreign_keys', rows, ['provider', 'key_id']);
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
