/** drift_policy adopt: what somebody made of a key in KMS becomes its desired state, as a revision that says so. */
import type { Prisma } from '../../database/client.ts';
import { adopted } from '../../domain/adoption.ts';
import { changedFields } from '../../domain/changes.ts';
import { nextGeneration } from '../../domain/gap.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import { ownTags, type TagSettings } from '../../domain/tags.ts';
import type { ObservedKey, Tags } from '../../domain/types.ts';
import type { Drift } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { withoutTaken } from '../keys/aliases.ts';
import { recordRevision } from '../keys/revision-record.ts';
import { neighboursOf } from '../keys/same-kms.ts';
import { holdSettings } from '../providers/settings.ts';
import { columnsOf, type DeclaredKey, declaredOf, dueTagNames } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { stateWhileSyncing } from '../rows/predicates.ts';
import { holdRow, statusMoves, writeRow } from '../rows/write.ts';
import { recordDriftEvents } from './drift.ts';
import { LeaseLost, type Work } from './lease.ts';
import type { Look } from './look.ts';
import type { Ended } from './sync.ts';

/**
 * The desired state that takes KMS's over; null where there is nothing in it to take. A deletion that was scheduled outside is
 * shown and never adopted: that a key is to be lost has to be asked of Keyward. What KMS does not tell stays as declared. That
 * a default tag is not there can't be declared of one key, and stays drift.
 */
export function adoptable(
  services: Services,
  row: KeyRow,
  settings: TagSettings,
  observed: ObservedKey,
): DeclaredKey | null {
  if (isPendingDeletion(observed)) return null;
  const before = declaredOf(row);
  const declared = declaredAsObserved(services, row, settings, observed);
  return Object.keys(changedFields(before, declared)).length === 0 ? null : declared;
}

/** The desired state that takes over what KMS tells of the key. */
export function declaredAsObserved(
  services: Services,
  row: KeyRow,
  settings: TagSettings,
  observed: ObservedKey,
): DeclaredKey {
  const declared = adopted(declaredOf(row), observed, adoptedTags(services, row, settings, observed));
  // A deletion that somebody has cancelled is no longer asked for.
  return { ...declared, lifecycle: 'managed', pending_window_in_days: null };
}

/** Tags that a change of the provider's settings is about to change say nothing of the owner. */
function adoptedTags({ ownershipTagName }: Services, row: KeyRow, settings: TagSettings, observed: ObservedKey): Tags {
  const declared = row.tags as Tags;
  const due = dueTagNames(row);
  const found = ownTags(observed.tags, settings, ownershipTagName, declared);
  const keeps = ([name]: [string, string]) => due.includes(name);
  return Object.fromEntries([
    ...Object.entries(declared).filter(keeps),
    ...Object.entries(found).filter((tag) => !keeps(tag)),
  ]);
}

/**
 * Records what was adopted as a new generation. The next round goes by the look that was adopted, and finds that KMS holds it:
 * another look could be older, and have Keyward write what is there already.
 * @throws LeaseLost
 */
export async function adoptDrift(
  services: Services,
  { row, lease }: Work,
  look: Look,
  wanted: DeclaredKey,
  drift: Drift[],
): Promise<Ended> {
  const generation = nextGeneration(row.generation, lease.gap);
  const { apart } = await neighboursOf(services, row.provider, wanted.aliases ?? []);
  const recorded = await services.database.prisma.$transaction(async (transaction) => {
    const { settings } = await holdSettings(transaction, row.provider, row.id);
    const declared = await withoutTaken(transaction, { ...row, apart }, wanted);
    const changed = await writeRow(
      transaction,
      { ...lease.fence, asked: row.asked },
      {
        ...columnsOf(declared, settings),
        generation,
        state: stateWhileSyncing(row, declared),
        drift: drift as unknown as Prisma.InputJsonArray,
        ...statusMoves,
        updated_at: new Date(),
      },
    );
    // A change of the owner's came first, which counts, or one of the provider's tags, by which they are looked at again.
    if (changed === null) return { next: await holdRow(transaction, lease.fence) };
    await recordDriftEvents(transaction, row, drift);
    const revision = { keyId: row.id, generation, origin: 'drift' as const, declared, before: declaredOf(row) };
    await recordRevision(transaction, revision, { actor: 'keyward', requestId: 'none' });
    return { next: changed, look };
  });
  if (recorded.next === null) throw new LeaseLost(row.id);
  await services.failurePoints.pass('intent-recorded');
  return recorded;
}
