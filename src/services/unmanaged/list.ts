/** Customer managed keys in KMS that Keyward does not manage, as they are now. */
import type { Access } from '../../domain/access.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import { withoutReserved } from '../../domain/tags.ts';
import type { Kms } from '../../kms/client.ts';
import { endingList, KmsFailure } from '../../kms/errors.ts';
import { inspectKey, type ListedKey, listKeys } from '../../kms/inventory.ts';
import type { UnmanagedKey, UnmanagedKeyQuery } from '../../schemas/unmanaged.ts';
import type { Services } from '../context.ts';
import { decodeCursor, encodeCursor } from '../cursors.ts';
import { formerAmong } from '../keys/former.ts';
import { ProblemError } from '../problems.ts';
import { accessTo, homeElsewhere } from '../providers/access.ts';
import { providerNotFound } from '../providers/commands.ts';
import { findSettings, standardProvider } from '../providers/settings.ts';
import { managedAmong } from './known.ts';

const standardLimit = 50;
/** How many keys are read at once. */
const concurrency = 8;
/** Keys that are read for one request, and a page more: whoever may see few of them gets the rest with the next one. */
const mostInspected = 200;
/** Keys of a page of KMS's own; more of them are read where few are unmanaged. */
const largestPage = 1000;

/**
 * One page, in KMS's order, which is none of age. Costs a ListKeys call or more and two reads for each key that Keyward has no
 * record of.
 * @throws ProblemError not-found for a provider that does not exist, malformed-request for a cursor that no page gave,
 * temporarily-unavailable when KMS can't be asked.
 */
export async function listUnmanagedKeys(
  services: Services,
  { provider = standardProvider, limit = standardLimit, cursor }: UnmanagedKeyQuery,
  access: Access,
): Promise<{ items: UnmanagedKey[]; nextCursor: string | null }> {
  if (!access.mayAt('keys:import', provider) || (await findSettings(services, provider)) === null) {
    throw providerNotFound(provider);
  }
  const items: UnmanagedKey[] = [];
  let looked = 0;
  // A page may have a single key.
  const ends = endingList('ListKeys', Number.POSITIVE_INFINITY);
  let marker = cursor === undefined ? null : decodeCursor(cursor, 'unmanaged keys');
  try {
    const { kms } = await accessTo(services, provider);
    do {
      // Never more than still fit: a page of KMS's can't be continued in its middle.
      const page = await listKeys(kms, Math.min(limit - items.length, largestPage), marker);
      const { found, inspected } = await inspectUnknown(services, kms, provider, await keysAtHome(kms, page.keys));
      looked += inspected;
      items.push(...visibleAmong(found, access));
      marker = ends(page.next);
    } while (marker !== null && items.length < limit && looked < mostInspected);
  } catch (error) {
    throw error instanceof KmsFailure ? problemOf(error, cursor) : error;
  }
  return { items, nextCursor: marker === null ? null : encodeCursor('unmanaged keys', marker) };
}

/** Those that the caller might take into management. Which record a key claims is for those who see all records. */
function visibleAmong(found: UnmanagedKey[], access: Access): UnmanagedKey[] {
  const visible = found.filter(({ provider, tags }) => access.may('keys:import', { provider, tags }));
  return access.hasEverywhere('keys:read') ? visible : visible.map((key) => ({ ...key, claimed_id: null }));
}

/** Ids of the keys that a provider is for: a KMS may show others too, which can't be managed by it. */
async function keysAtHome(kms: Kms, keys: ListedKey[]): Promise<string[]> {
  const homes = await Promise.all(keys.map(({ arn }) => homeElsewhere(kms, arn)));
  return keys.filter((_key, index) => homes[index] === null).map(({ key_id }) => key_id);
}

async function inspectUnknown(services: Services, kms: Kms, provider: string, keyIds: string[]) {
  const managed = new Set(await managedAmong(services, kms.region, keyIds));
  const former = new Set(await formerAmong(services, keyIds));
  const waiting = new Set(await formerAmong(services, keyIds, { deletion: 'waiting' }));
  const unknown = keyIds.filter((keyId) => !managed.has(keyId) && !waiting.has(keyId));
  const found: UnmanagedKey[] = [];
  for (let start = 0; start < unknown.length; start += concurrency) {
    const batch = unknown.slice(start, start + concurrency);
    const inspected = await Promise.all(batch.map((keyId) => inspectKey(kms, keyId)));
    for (const told of inspected) {
      if (told === null || told.key.key_manager !== 'CUSTOMER') continue;
      // Keyward has its deletion scheduled. Where somebody has taken that back, the key is nobody's.
      if (former.has(told.key.key_id) && isPendingDeletion(told.key)) continue;
      found.push(toUnmanagedKey(services, provider, told));
    }
  }
  return { found, inspected: unknown.length };
}

type Inspected = NonNullable<Awaited<ReturnType<typeof inspectKey>>>;

function toUnmanagedKey({ ownershipTagName }: Services, provider: string, { key, tags }: Inspected): UnmanagedKey {
  const { key_id, arn, description, key_usage, customer_master_key_spec, multi_region, key_state } = key;
  return {
    provider,
    key_id,
    arn,
    description,
    key_usage,
    customer_master_key_spec,
    multi_region,
    key_state,
    tags: withoutReserved(tags, ownershipTagName),
    claimed_id: tags[ownershipTagName] ?? null,
  };
}

function problemOf({ code, message }: KmsFailure, cursor: string | undefined): ProblemError {
  if (code === 'InvalidMarkerException' && cursor !== undefined) {
    const detail = 'KMS does not know this page (any more): start from the first.';
    const errors = [{ parameter: 'cursor', code: 'invalid_value' as const, detail }];
    return new ProblemError('malformed-request', `cursor: ${detail}`, { errors });
  }
  return new ProblemError('temporarily-unavailable', `KMS can't be asked now: ${code}: ${message}`);
}
