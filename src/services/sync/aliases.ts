/** Aliases that other keys have: which of them a sync may move. */
import { type AliasTargets, aliasChanges } from '../../domain/aliases.ts';
import type { ParametersOf } from '../../domain/operations.ts';
import type { DesiredKey, ObservedKey } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { targetsOf } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { declaredIn } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isSynced } from '../rows/predicates.ts';
import type { Sync } from './sync.ts';

/**
 * Where the aliases are that the key is to have. What is declared anew and points at another key is not taken from that one, unless
 * that was asked for; what KMS held, and somebody has moved, comes back.
 * @throws KmsFailure
 */
export async function settleAliases(sync: Sync): Promise<Sync> {
  const { services, work, look } = sync;
  const { row } = work;
  if (sync.desired.aliases === null || isSynced(row)) return sync;
  const desired = await withPlaces(sync);
  if (row.lifecycle === 'managed') await assertFree(services, row, desired, look.observed);
  return { ...sync, desired };
}

/** What is aimed at, with where its aliases point at of a key that is to be made, and where they came from of another. @throws KmsFailure */
async function withPlaces({ services, access, work, desired, look }: Sync): Promise<DesiredKey> {
  const { row, opened } = work;
  if (look.observed !== null) return { ...desired, aliases_from: await movedSince(services, row) };
  // What was planned with the intent goes by what was asked then.
  if (opened !== undefined) return desired;
  return { ...desired, aliases_elsewhere: await targetsOf(access.kms, desired.aliases ?? []) };
}

/** Where the aliases were that a change has moved here which KMS does not hold. */
async function movedSince({ database }: Services, { id, synced_generation }: KeyRow): Promise<AliasTargets> {
  const writes = await database.prisma.kmsWrite.findMany({
    where: {
      key_ref: id,
      operation: 'UpdateAlias',
      generation: { gt: synced_generation },
      outcome: { in: ['done', 'unknown'] },
    },
    orderBy: { id: 'desc' },
    select: { parameters: true },
  });
  // The oldest of one alias counts: it is the last one here.
  const moves = writes.map(({ parameters }) => parameters as ParametersOf<'UpdateAlias'>);
  return Object.fromEntries(moves.map(({ AliasName, FromKeyId }) => [AliasName, FromKeyId]));
}

async function assertFree(services: Services, row: KeyRow, desired: DesiredKey, observed: ObservedKey | null) {
  const unmade = { key_id: '', aliases: desired.aliases_elsewhere ?? {} };
  const { elsewhere } = aliasChanges(desired.aliases ?? [], observed ?? unmade);
  if (elsewhere.length === 0) return;
  const known = await mayBeMoved(services, row);
  const taken = elsewhere.find(({ name }) => !known.includes(name));
  if (taken === undefined) return;
  const message = `${taken.name} points at another key: ${taken.from}`;
  throw new KmsFailure('refused', aliasTaken, message, 'CreateAlias', true);
}

const aliasTaken = 'AliasTaken';

/** Those that KMS held when it was last as declared, and those that were asked for wherever they are. */
async function mayBeMoved(services: Services, { id, synced_generation, generation }: KeyRow): Promise<string[]> {
  const since = { key_ref: id, generation: { gte: synced_generation, lte: generation } };
  const revisions = await services.database.prisma.revision.findMany({ where: since });
  return revisions
    .filter((one) => one.generation === synced_generation || one.aliases_taken !== null)
    .flatMap((one) => declaredIn(one).aliases ?? []);
}
