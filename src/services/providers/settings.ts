/** What a provider says: where its keys are, how to get there, and what holds for all of them. */
import { Prisma, type ProviderRow, type Transaction } from '../../database/client.ts';
import { providerColumns } from '../../database/columns.ts';
import type { Access } from '../../domain/access.ts';
import type { AssumeRole, ProviderSettings } from '../../domain/provider.ts';
import type { ProviderQuotas } from '../../domain/request-quotas.ts';
import { unstorableText } from '../../domain/text.ts';
import type { Services } from '../context.ts';
import { invalidInput, ProblemError } from '../problems.ts';
import { type GapAndTime, gapAndTime } from '../recovery/hold.ts';
import { bringKeyAlong } from './bring-along.ts';

/** The provider of keys that name none. */
export const standardProvider = 'default';

/** A provider by its name. */
export type NamedProvider = { name: string; settings: ProviderSettings };

/** What the row says. */
export function settingsOf(row: ProviderRow): ProviderSettings {
  return {
    region: row.region,
    endpoint: row.endpoint,
    assume_role: row.assume_role as AssumeRole | null,
    allowed_account_ids: row.allowed_account_ids as string[],
    default_tags: row.default_tags as ProviderSettings['default_tags'],
    ignore_tags: row.ignore_tags as ProviderSettings['ignore_tags'],
    drift_policy: row.drift_policy as ProviderSettings['drift_policy'],
    refresh_interval_seconds: row.refresh_interval_seconds,
    quotas: row.quotas as ProviderQuotas | null,
  };
}

/** The settings as they are shown: an external id is written only. */
export function withoutSecrets({ assume_role: role, ...settings }: ProviderSettings) {
  if (role === null) return { ...settings, assume_role: null };
  const { external_id: _secret, ...shown } = role;
  return { ...settings, assume_role: shown };
}

/** Prepared once a connection: every sync asks for it, so that no process works by settings that were changed. */
const selectProvider = { name: 'find_provider', text: `SELECT ${providerColumns} FROM providers WHERE name = $1` };

/** The provider's row as it is now, or null. Any text is taken for a name. */
export async function findProviderRow({ database }: Services, name: string): Promise<ProviderRow | null> {
  if (unstorableText(name)) return null;
  const { rows } = await database.pool.query<ProviderRow>({ ...selectProvider, values: [name] });
  return rows[0] ?? null;
}

/** The settings as they are now; null: there is no such provider. */
export async function findSettings(services: Services, name: string): Promise<ProviderSettings | null> {
  const row = await findProviderRow(services, name);
  return row === null ? null : settingsOf(row);
}

/** @throws ProblemError temporarily-unavailable: what needs the provider can be done once it is there (again). */
export async function settingsFor(services: Services, name: string): Promise<ProviderSettings> {
  const settings = await findSettings(services, name);
  if (settings !== null) return settings;
  throw new ProblemError('temporarily-unavailable', `There is no provider ${JSON.stringify(name)} to ask.`);
}

/** The names of the providers, where some of the keys may be read by the caller. @param where what they are to have in common. */
export async function providersReadBy(
  { database }: Services,
  access: Access,
  where: { name?: string; region?: string },
): Promise<string[]> {
  const found = await database.prisma.provider.findMany({ where, select: { name: true }, orderBy: { name: 'asc' } });
  return found.map(({ name }) => name).filter((name) => access.mayAt('keys:read', name));
}

/**
 * The settings, which stay as they are until the transaction ends: what is declared of a key by them must not miss a change
 * of theirs.
 * @param keyId of a key that may have been declared before a change that has not reached it yet; null: it is new.
 * @returns them, the number of the last gap, and the time by PostgreSQL's clock, in milliseconds since the epoch.
 * @throws ProblemError invalid-input
 */
export async function holdSettings(
  transaction: Transaction,
  name: string,
  keyId: string | null,
): Promise<HeldSettings> {
  const [row] = await transaction.$queryRaw<(ProviderRow & GapAndTime)[]>`
    SELECT ${Prisma.raw(providerColumns)}, ${Prisma.raw(gapAndTime)} FROM providers WHERE name = ${name} FOR SHARE`;
  if (row === undefined) throw noSuchProvider(name);
  if (keyId !== null) await bringKeyAlong(transaction, row, keyId);
  return { settings: settingsOf(row), gap: row.gap, now: row.now };
}

export type HeldSettings = GapAndTime & { settings: ProviderSettings };

export function noSuchProvider(name: string): ProblemError {
  return invalidInput([
    { pointer: '/provider', code: 'not_found', detail: `There is no provider ${JSON.stringify(name)}.` },
  ]);
}
