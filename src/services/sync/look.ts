/** What a look at a key shows, and what of it is believed. */
import { isDeepStrictEqual } from 'node:util';
import { type RecentWrite, withDoubt, withoutStaleFields, withRecentWrites } from '../../domain/recent-writes.ts';
import type { DesiredKey, ObservedKey } from '../../domain/types.ts';
import { withDeclared, withKnown } from '../../domain/untold.ts';
import type { Kms } from '../../kms/client.ts';
import { observeKey } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { withoutLeaving } from '../keys/aliases.ts';
import { observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isEnforcingAskedFor, isSynced } from '../rows/predicates.ts';
import type { Work } from './lease.ts';
import { findRecentWrites } from './open-writes.ts';

/**
 * A key in KMS, in how many milliseconds a read that may have been stale is to be repeated (0: it was not), what to
 * believe of a further read, and from which state to plan.
 */
export type Look = {
  /** What KMS answered, whatever is believed of it. */
  read: ObservedKey | null;
  observed: ObservedKey | null;
  planned: ObservedKey | null;
  settling: number;
  believe: (read: ObservedKey) => ObservedKey;
  /** When it was read. */
  at: Date;
};

/** The look at a key that KMS does not have yet. */
export const noLook: Look = {
  read: null,
  observed: null,
  planned: null,
  settling: 0,
  believe: (read) => read,
  at: new Date(0),
};

/** What KMS holds. Keyward's own latest writes count for more than a read that lacks them. @throws KmsFailure */
export async function look(
  services: Services,
  kms: Kms,
  { row, seen }: Pick<Work, 'row' | 'seen'>,
  desired: DesiredKey,
): Promise<Look> {
  const writes = await findRecentWrites(services, row.id);
  const believe = (read: ObservedKey) => believed(row, desired, read, writes).observed;
  const at = new Date(services.now());
  const shown = await asMade(services, row, seen ?? (await observeKey(kms, row.key_id ?? '', desired)));
  const read = await withoutLeaving(services, row, desired, shown);
  const { observed, whole, isStale } = believed(row, desired, read, writes);
  // Asked outright, what may have been undone is written again.
  const isAskedFor = isSynced(row) && isEnforcingAskedFor(row);
  const planned = isStale && isAskedFor ? withDoubt(whole, observed) : observed;
  return { read, observed, planned, settling: isStale ? services.times.settle : 0, believe, at };
}

/**
 * What a read shows, and what of it is believed, whoever looks: a sync, the refresh of many keys, or a plan. Until KMS holds the
 * generation at hand, its writes count for more than any read; of a key that is as declared only what reads as it did before one
 * of them is taken to be older.
 * @param writes those that reads may not show, oldest first.
 */
export function believed(
  row: KeyRow,
  desired: DesiredKey,
  read: ObservedKey,
  writes: RecentWrite[],
): { whole: ObservedKey; observed: ObservedKey; isStale: boolean } {
  const whole = withUntold(row, desired, read);
  const recorded = observedOf(row);
  // An attempt that failed halfway has recorded no observation of what it wrote.
  const isHalfway = row.attempts > 0 || row.writes_open;
  const expected = recorded !== null && isHalfway ? withRecentWrites(recorded, writes) : recorded;
  const known = expected === null ? whole : withoutStaleFields(whole, expected, writes);
  const observed = isSynced(row) ? known : withRecentWrites(whole, writes);
  return { whole, observed, isStale: !isDeepStrictEqual(observed, whole) };
}

/**
 * A key that was made for the record, and of which no attempt has recorded an observation yet: where KMS does not tell, its
 * rotation is as KMS makes it, since what was declared may not have been sent.
 */
async function asMade({ database }: Services, row: KeyRow, read: ObservedKey): Promise<ObservedKey> {
  if (read.rotation === null || read.rotation.enabled !== null || row.observed !== null || isSynced(row)) return read;
  const made = { key_ref: row.id, operation: 'CreateKey' };
  const creation = await database.prisma.kmsWrite.findFirst({ where: made, select: { id: true } });
  return creation === null ? read : { ...read, rotation: { enabled: false, period_in_days: null } };
}

/** A read with what KMS does not tell as it is known, or, where KMS was made to hold the declared state, as that has it. */
export function withUntold(row: KeyRow, desired: DesiredKey, read: ObservedKey): ObservedKey {
  const known = observedOf(row);
  // Aliases that are not managed are not asked for: what was known of them may be over.
  const whole = known === null ? read : withKnown(read, desired.aliases === null ? { ...known, aliases: null } : known);
  return isSynced(row) ? withDeclared(whole, desired) : whole;
}
