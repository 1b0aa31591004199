/** What somebody else changed in KMS, and the record of when it began and ended. */
import { isDeepStrictEqual } from 'node:util';
import type { Transaction } from '../../database/client.ts';
import { declaredNow, differences } from '../../domain/drift.ts';
import { isWithin, scopeOf, type UnknownWrite } from '../../domain/scope.ts';
import type { TagSettings } from '../../domain/tags.ts';
import type { Difference, ObservedKey, Tags } from '../../domain/types.ts';
import type { Drift } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { findRevision } from '../keys/revisions.ts';
import { declaredIn, declaredOf, desiredBy, desiredOf, driftOf, dueTagNames, observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isSynced } from '../rows/predicates.ts';

/**
 * What somebody else changed. Before the first write of a change, that is what differs from the generation before: the
 * change will put it right along with its own fields, and must not do so in silence. What a change of the provider's
 * settings is about to change is none of it, nor what a write of unknown outcome may have changed, unless it was drift before.
 */
export async function findDrift(
  services: Services,
  settings: TagSettings,
  row: KeyRow,
  observed: ObservedKey,
  unknown: UnknownWrite[] = [],
): Promise<Drift[]> {
  const desired = isSynced(row)
    ? desiredOf(row, settings, services.ownershipTagName)
    : await desiredBefore(services, settings, row, observed);
  if (desired === null) return [];
  const due = new Set(dueTagNames(row).map((name) => `tags.${name}`));
  const ours = scopeOf(unknown);
  const known = new Set(driftOf(row).map(({ field }) => field));
  const found = differences(desired, observed).filter(
    (difference) => !due.has(difference.field) && (known.has(difference.field) || !isWithin(ours, difference)),
  );
  return withSince(found, driftOf(row), services.now());
}

/** What KMS was made to hold last, if nothing of the change at hand can be in KMS yet; else null. */
async function desiredBefore(services: Services, settings: TagSettings, row: KeyRow, observed: ObservedKey) {
  if (row.lifecycle !== 'managed' || row.synced_generation === 0 || row.writes_open) return null;
  if (isDeepStrictEqual(observed, observedOf(row))) return null;
  const sent = { key_ref: row.id, generation: { gt: row.synced_generation }, outcome: { in: ['done', 'unknown'] } };
  if ((await services.database.prisma.kmsWrite.findFirst({ where: sent, select: { id: true } })) !== null) return null;
  const held = await findRevision(services, row.id, row.synced_generation);
  if (held === null) return null;
  return desiredBy(row, declaredIn(held), settings, services.ownershipTagName);
}

/** The differences, with the time since which each is known. */
export function withSince(found: Difference[], before: Drift[], now: number): Drift[] {
  const fresh = new Date(now).toISOString();
  return found.map((difference) => ({
    ...difference,
    since: before.find(({ field }) => field === difference.field)?.since ?? fresh,
  }));
}

/**
 * An event when drift of a field begins, and one when it ends.
 * @param isGone the KMS key is: nothing holds what is declared.
 */
export async function recordDriftEvents(
  transaction: Transaction,
  row: KeyRow,
  drift: Drift[],
  { isGone } = { isGone: false },
): Promise<void> {
  const before = driftOf(row);
  const declared = { ...declaredOf(row), tags_all: row.tags_all as Tags };
  const event = async (type: 'drift.detected' | 'drift.resolved', entries: Drift[]) => {
    if (entries.length > 0) await recordEvent(transaction, { type, key: row, data: { drift: entries } });
  };
  await event('drift.detected', without(drift, before));
  const ended = without(before, drift) as (Drift & Difference)[];
  await event(
    'drift.resolved',
    ended.map((entry) => ({ ...entry, desired: isGone ? null : declaredNow(declared, entry) })),
  );
}

function without(entries: Drift[], others: Drift[]): Drift[] {
  return entries.filter((entry) => !others.some(({ field }) => field === entry.field));
}
