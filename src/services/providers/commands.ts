/** What can be asked of a provider. Each is done, with its event, when the answer goes out; what it asks of keys is the sync's. */
import { isDeepStrictEqual } from 'node:util';
import { isDeadlock, Prisma, type ProviderRow, type Transaction } from '../../database/client.ts';
import { providerColumns } from '../../database/columns.ts';
import type { Access } from '../../domain/access.ts';
import { changedFields } from '../../domain/changes.ts';
import type { Permission } from '../../domain/permissions.ts';
import type { ProviderSettings } from '../../domain/provider.ts';
import { unstorableText } from '../../domain/text.ts';
import type { Json } from '../../domain/types.ts';
import type { Actor, Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { conflict, type Input, invalidInput, ProblemError } from '../problems.ts';
import { beginChange, bringAlong, type Concern } from './bring-along.ts';
import { settingsByCreate, settingsByPatch } from './input.ts';
import { assertKeysAreThere } from './sample.ts';
import { findProviderRow, findSettings, settingsOf, standardProvider, withoutSecrets } from './settings.ts';
import { assertRoomForTags, type Horizon, horizonOf } from './tags-limit.ts';

export type { ProviderRow };

/** Milliseconds for which a change is not answered while it has not reached all keys: there may be a hundred thousand. */
const longestWait = 10_000;

/** @throws ProblemError invalid-input, conflict when there is one of that name. */
export async function createProvider(services: Services, input: Input, by: Actor): Promise<ProviderRow> {
  const settings = settingsByCreate(input, services.ownershipTagName);
  assertEndpointAllowed(services, settings);
  const { name } = input.body as { name: string };
  const row = await services.database.prisma.$transaction(async (transaction) => {
    const created = await transaction.provider.createManyAndReturn({
      data: [{ name, ...columnsOf(settings) }],
      skipDuplicates: true,
    });
    if (created[0] === undefined) return null;
    const data = { changes: changedFields(null, withoutSecrets(settings)) };
    await recordEvent(transaction, { type: 'provider.created', provider: name, data }, by);
    return created[0];
  });
  if (row === null) throw conflict(`There is a provider ${JSON.stringify(name)} already; PATCH changes it.`);
  return row;
}

/**
 * Changes a provider. Its keys are brought along afterwards where the change concerns them; their syncs carry it out.
 * @param ifMatch an ETag, or undefined.
 * @throws ProblemError not-found, stale-generation, forbidden, invalid-input (also when a key would have too many tags), conflict when
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
    if (seen === null) throw providerNotFound(name);
    assertMatches(seen, by.ifMatch);
    const before = settingsOf(seen);
    const after = settingsByPatch(before, input, services.ownershipTagName);
    if (isDeepStrictEqual(before, after)) return seen;
    if (before.endpoint !== after.endpoint) assertEndpointAllowed(services, after);
    await assertKeysAreThere(services, name, { before, after }, by.rights);
    const concern = concernOf(before, after);
    if (concern.tags) await assertMayRetag(services, name, by);
    const horizon = await horizonOf(services.database.prisma);
    const asked = { ...services, rights: by.rights };
    if (concern.tags) await assertRoomForTags(services.database.prisma, name, after, { ...asked, since: null });
    const row = await recordUpdate(services, { seen, before, after, concern, horizon }, by);
    if (row === null) continue;
    await services.failurePoints.pass('intent-recorded');
    if (concern.tags || concern.hastens) await bringAlong(services, name, longestWait);
    return row;
  }
}

/** @throws ProblemError invalid-input */
function assertEndpointAllowed({ rules }: Services, { endpoint }: ProviderSettings): void {
  const detail = rules.endpointFault(endpoint);
  if (detail !== null) throw invalidInput([{ pointer: '/endpoint', code: 'invalid_value', detail }]);
}

/** What a change is to do with the provider's keys. */
function concernOf(before: ProviderSettings, after: ProviderSettings): Concern {
  const tags = ({ default_tags, ignore_tags }: ProviderSettings) => [default_tags, ignore_tags];
  return {
    tags: !isDeepStrictEqual(tags(before), tags(after)),
    hastens: after.refresh_interval_seconds < before.refresh_interval_seconds,
  };
}

/** Limits of rights go by `tags_all`: whoever changes what is in it for many keys could give them to anybody. */
async function assertMayRetag({ database }: Services, provider: string, { rights }: Actor): Promise<void> {
  if (rights.access.hasEverywhere('keys:update')) return;
  const key = await database.prisma.key.findFirst({
    where: { provider, state: { not: 'deleted' } },
    select: { id: true },
  });
  if (key === null) return;
  const detail =
    'This changes the tags of keys: with providers that have keys it needs keys:update without limits too.';
  throw new ProblemError('forbidden', detail);
}

type Update = {
  seen: ProviderRow;
  before: ProviderSettings;
  after: ProviderSettings;
  concern: Concern;
  /** When its keys were looked at. */
  horizon: Horizon;
};

/** The provider has changed since it was looked at. */
class Superseded extends Error {}

/** Locks the provider's row alone, and for a moment. @returns null when it has changed since it was looked at: decide again. */
async function recordUpdate(services: Services, update: Update, by: Actor): Promise<ProviderRow | null> {
  const { seen, before, after, concern, horizon } = update;
  const { name } = seen;
  try {
    return await services.database.prisma.$transaction(async (transaction) => {
      if (concern.tags || concern.hastens) await beginChange(transaction, name, concern);
      if ((await lock(transaction, name)).version !== seen.version) throw new Superseded();
      if (before.region !== after.region) await assertNoKeys(transaction, name, "its Region can't be changed", by);
      // Those that were declared meanwhile, by the settings as they were.
      const asked = { ...services, rights: by.rights };
      if (concern.tags) await assertRoomForTags(transaction, name, after, { ...asked, since: horizon });
      const changes = changesOf(before, after);
      await recordEvent(transaction, { type: 'provider.updated', provider: name, data: { changes } }, by);
      const now = new Date();
      const data = { ...columnsOf(after), version: { increment: 1 }, updated_at: now };
      const began = concern.tags ? { tags_changed_at: now } : {};
      const moved = isElsewhere(before, after) ? await forgetSeenKeys(transaction, name) : {};
      return transaction.provider.update({ where: { name }, data: { ...data, ...began, ...moved } });
    });
  } catch (error) {
    if (error instanceof Superseded || isDeadlock(error)) return null;
    throw error;
  }
}

/** Whether the provider leads to other keys now, or may. */
function isElsewhere(before: ProviderSettings, after: ProviderSettings): boolean {
  const place = ({ region, endpoint, assume_role }: ProviderSettings) => [region, endpoint, assume_role?.role_arn];
  return !isDeepStrictEqual(place(before), place(after));
}

/** What was seen there is not what is there. @returns what the provider's row says then. */
async function forgetSeenKeys(transaction: Transaction, provider: string) {
  await transaction.foreignKey.deleteMany({ where: { provider } });
  return { swept_at: null, sweep_error: null };
}

/** An external id is told to nobody: not even that one took the place of another is told by its text. */
function changesOf(before: ProviderSettings, after: ProviderSettings) {
  const changes = changedFields(withoutSecrets(before), withoutSecrets(after));
  if (before.assume_role?.external_id === after.assume_role?.external_id) return changes;
  const [hidden, role] = ['(write-only)', 'assume_role.external_id'];
  const told = (settings: ProviderSettings) => (settings.assume_role?.external_id == null ? null : hidden);
  return { ...changes, [role as string]: { before: told(before) as Json, after: told(after) as Json } };
}

/** @throws ProblemError not-found, conflict for one that has keys, and for the standard one. */
export async function deleteProvider(services: Services, name: string, by: Actor & { ifMatch: string | undefined }) {
  await services.database.prisma.$transaction(async (transaction) => {
    await transaction.providerChange.deleteMany({ where: { provider: name } });
    const row = await lock(transaction, name);
    assertMatches(row, by.ifMatch);
    await assertNoKeys(transaction, name, "it can't be deleted", by);
    if (name === standardProvider) {
      throw conflict(`Provider ${name} is the one of keys that name none: it can't be deleted.`);
    }
    await transaction.provider.delete({ where: { name } });
    await forgetSeenKeys(transaction, name);
    const changes = changedFields(withoutSecrets(settingsOf(row)), {});
    await recordEvent(transaction, { type: 'provider.deleted', provider: name, data: { changes } }, by);
  });
}

/** Nobody declares a key by the provider's settings until the transaction ends. */
async function lock(transaction: Transaction, name: string): Promise<ProviderRow> {
  const [row] = unstorableText(name)
    ? []
    : await transaction.$queryRaw<ProviderRow[]>`
        SELECT ${Prisma.raw(providerColumns)} FROM providers WHERE name = ${name} FOR UPDATE`;
  if (row === undefined) throw providerNotFound(name);
  return row;
}

/** For what names a provider and asks for its keys. @throws ProblemError not-found, also where the caller may know of none of them. */
export async function assertKnown(
  services: Services,
  name: string,
  permission: Permission,
  access: Access,
): Promise<void> {
  const isKnown = access.mayAt(permission, name) && (await findSettings(services, name)) !== null;
  if (!isKnown) throw providerNotFound(name);
}

export function providerNotFound(name: string): ProblemError {
  return new ProblemError('not-found', `There is no provider ${JSON.stringify(name)}.`);
}

/** How many they are is for those who see them all. */
async function assertNoKeys(
  transaction: Transaction,
  provider: string,
  aftermath: string,
  { rights }: Actor,
): Promise<void> {
  const count = await transaction.key.count({ where: { provider, state: { not: 'deleted' } } });
  if (count === 0) return;
  const counted = count === 1 ? 'a key' : `${count} keys`;
  const keys = rights.access.hasEverywhere('keys:read') ? counted : 'keys';
  throw conflict(
    `Provider ${provider} has ${keys}: ${aftermath}. Release or delete them first, or make another provider.`,
  );
}

/** If-Match compares the version alone. Proxies weaken the tags of answers that they compress: those name it as well. */
function assertMatches({ version }: ProviderRow, ifMatch: string | undefined): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const versions = [...ifMatch.matchAll(/"(\d+)(?:\.[\w-]+)?"/g)].map(([, named]) => Number(named));
  if (versions.includes(version)) return;
  throw new ProblemError('stale-generation', `The provider is at version ${version}; If-Match names ${ifMatch}.`);
}

function columnsOf(settings: ProviderSettings) {
  const { assume_role, quotas, ...rest } = settings;
  return { ...rest, assume_role: assume_role ?? Prisma.DbNull, quotas: quotas ?? Prisma.DbNull };
}
