/** What can be asked of a provider. Each is done, with its event, when the answer goes out; what it asks of keys is the sync's. */
import { isDeepStrictEqual } from 'node:util';
import { isDeadlock, Prisma, type ProviderRow, type Transaction } from '../../database/client.ts';
import { changedFields } from '../../domain/changes.ts';
import { unstorableText } from '../../domain/text.ts';
import type { Actor, Services } from '../context.ts';
import type { Input } from '../keys/input.ts';
import { conflict, ProblemError } from '../problems.ts';
import { settingsByCreate, settingsByPatch } from './input.ts';
import { assertKeysAreThere } from './sample.ts';
import { findProviderRow, type ProviderSettings, settingsOf, standardProvider } from './settings.ts';
import { recordTagsChange } from './tags-change.ts';

export type { ProviderRow };

/** Milliseconds that the keys of a provider take at most, when its tags change: there may be a hundred thousand. */
const longestChange = 120_000;

/** @throws ProblemError invalid-input, conflict when there is one of that name. */
export async function createProvider(services: Services, input: Input, by: Actor): Promise<ProviderRow> {
  const settings = settingsByCreate(input, services.ownershipTagName);
  const { name } = input.body as { name: string };
  const row = await services.database.prisma.$transaction(async (transaction) => {
    const created = await transaction.provider.createManyAndReturn({
      data: [{ name, ...columnsOf(settings) }],
      skipDuplicates: true,
    });
    if (created[0] === undefined) return null;
    await recordEvent(transaction, name, 'provider.created', changedFields(null, settings), by);
    return created[0];
  });
  if (row === null) throw conflict(`There is a provider ${JSON.stringify(name)} already; PATCH changes it.`);
  return row;
}

/**
 * Changes a provider. A change of its tags is recorded for all of its keys; their syncs carry it out.
 * @param ifMatch an ETag, or undefined.
 * @throws ProblemError not-found, stale-generation, invalid-input (also when a key would have too many tags), conflict when
 * the Region of a provider with keys would change, or its endpoint or role to one that has none of them.
 */
export async function updateProvider(
  services: Services,
  name: string,
  input: Input,
  by: Actor & { ifMatch: string | undefined },
): Promise<ProviderRow> {
  for (;;) {
    const seen = await findProviderRow(services, name);
    if (seen !== null) await assertKeysAreThere(services, seen, input);
    try {
      const row = await recordUpdate(services, name, input, { ...by, seen: seen?.version });
      if (row !== null) return row;
    } catch (error) {
      // It locks many keys, and others may have locked some of them in another order.
      if (!isDeadlock(error)) throw error;
    }
  }
}

/** @returns null when the provider has changed since it was looked at: decide again. */
function recordUpdate(
  services: Services,
  name: string,
  input: Input,
  by: Actor & { ifMatch: string | undefined; seen: number | undefined },
): Promise<ProviderRow | null> {
  return services.database.prisma.$transaction(
    async (transaction) => {
      const row = await lock(transaction, name);
      assertMatches(row, by.ifMatch);
      if (row.version !== by.seen) return null;
      const before = settingsOf(row);
      const after = settingsByPatch(before, input, services.ownershipTagName);
      if (isDeepStrictEqual(before, after)) return row;
      if (before.region !== after.region) await assertNoKeys(transaction, name, "its Region can't be changed");
      const changesTags = !isDeepStrictEqual(
        [before.default_tags, before.ignore_tags],
        [after.default_tags, after.ignore_tags],
      );
      if (changesTags) await recordTagsChange(transaction, name, after, services.ownershipTagName);
      if (after.refresh_interval_seconds < before.refresh_interval_seconds) await hasten(transaction, name, after);
      await recordEvent(transaction, name, 'provider.updated', changedFields(before, after), by);
      return transaction.provider.update({
        where: { name },
        data: {
          ...columnsOf(after),
          version: { increment: 1 },
          updated_at: new Date(),
          ...(changesTags ? { tags_changed_at: new Date() } : {}),
        },
      });
    },
    { timeout: longestChange },
  );
}

/** @throws ProblemError not-found, conflict for one that has keys, and for the standard one. */
export async function deleteProvider(services: Services, name: string, by: Actor & { ifMatch: string | undefined }) {
  await services.database.prisma.$transaction(async (transaction) => {
    const row = await lock(transaction, name);
    assertMatches(row, by.ifMatch);
    await assertNoKeys(transaction, name, "it can't be deleted");
    if (name === standardProvider) {
      throw conflict(`Provider ${name} is the one of keys that name none: it can't be deleted.`);
    }
    await transaction.provider.delete({ where: { name } });
    await transaction.foreignKey.deleteMany({ where: { provider: name } });
    await recordEvent(transaction, name, 'provider.deleted', changedFields(settingsOf(row), {}), by);
  });
}

/** Nobody declares a key by the provider's settings until the transaction ends. */
async function lock(transaction: Transaction, name: string): Promise<ProviderRow> {
  const [row] = unstorableText(name)
    ? []
    : await transaction.$queryRaw<ProviderRow[]>`SELECT * FROM providers WHERE name = ${name} FOR UPDATE`;
  if (row === undefined) throw providerNotFound(name);
  return row;
}

export function providerNotFound(name: string): ProblemError {
  return new ProblemError('not-found', `There is no provider ${JSON.stringify(name)}.`);
}

async function assertNoKeys(transaction: Transaction, provider: string, aftermath: string): Promise<void> {
  const count = await transaction.key.count({ where: { provider, state: { not: 'deleted' } } });
  if (count === 0) return;
  const keys = count === 1 ? 'a key' : `${count} keys`;
  throw conflict(
    `Provider ${provider} has ${keys}: ${aftermath}. Release or delete them first, or make another provider.`,
  );
}

/** The ETag of a provider. */
export function providerTag({ version }: Pick<ProviderRow, 'version'>): string {
  return `"${version}"`;
}

function assertMatches(row: ProviderRow, ifMatch: string | undefined): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const tags = ifMatch.split(',').map((tag) => tag.trim());
  if (tags.includes(providerTag(row))) return;
  throw new ProblemError('stale-generation', `The provider is at ${providerTag(row)}; If-Match names ${ifMatch}.`);
}

/** Keys that are observed on schedule are due no later than by the new interval, each at a time of its own. */
async function hasten(transaction: Transaction, name: string, { refresh_interval_seconds }: ProviderSettings) {
  await transaction.$executeRaw`
    UPDATE keys SET due_at = least(due_at, now() + random() * ${refresh_interval_seconds} * interval '1 second')
    WHERE provider = ${name} AND lifecycle = 'managed' AND state IN ('in_sync', 'drifted')`;
}

function columnsOf(settings: ProviderSettings) {
  const { assume_role, quotas, ...rest } = settings;
  return { ...rest, assume_role: assume_role ?? Prisma.DbNull, quotas: quotas ?? Prisma.DbNull };
}

async function recordEvent(
  transaction: Transaction,
  provider: string,
  type: 'provider.created' | 'provider.updated' | 'provider.deleted',
  changes: ReturnType<typeof changedFields>,
  by: Actor,
): Promise<void> {
  const data = { changes: changes as Prisma.InputJsonObject };
  const { actor, requestId: request_id } = by;
  await transaction.event.create({ data: { provider, type, generation: 0, actor, request_id, data } });
}
