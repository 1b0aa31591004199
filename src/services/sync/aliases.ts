/** Aliases that other keys have: which of them a sync may move. */
import { type AliasTargets, aliasChanges } from '../../domain/aliases.ts';
import type { ParametersOf } from '../../domain/operations.ts';
import type { DesiredKey } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { targetsOf } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { declaredIn } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isSynced } from '../rows/predicates.ts';
import { declaredLonger } from './alias-dispute.ts';
import type { Sync } from './sync.ts';

/**
 * Where the aliases are that the key is to have. What is declared anew and points at another key is not taken from that one, unless
 * that was asked for; what KMS held, and somebody has moved, comes back.
 * @throws KmsFailure
 */
export async function settleAliases(sync: Sync): Promise<Sync> {
  const { row } = sync.work;
  if (sync.desired.aliases === null || isSynced(row)) return sync;
  const desired = await withPlaces(sync);
  if (row.lifecycle === 'managed') await assertFree(sync, desired);
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

async function assertFree(sync: Sync, desired: DesiredKey) {
  const { services, work, look } = sync;
  const unmade = { key_id: '', aliases: desired.aliases_elsewhere ?? {} };
  const { elsewhere } = aliasChanges(desired.aliases ?? [], look.observed ?? unmade);
  if (elsewhere.length === 0) return;
  const { held, asked } = await mayBeMoved(services, work.row);
  const added = elsewhere.filter(({ name }) => !held.includes(name));
  // That was asked by what was known then: a record of this KMS may have declared it longer, as seen since.
  const longer = await declaredLonger(sync, added);
  const taken = added.find(({ name }) => !asked.includes(name) || longer.includes(name));
  if (taken === undefined) return;
  const message = `${taken.name} points at another key: ${taken.from}`;
  throw new KmsFailure('refused', aliasTaken, message, 'CreateAlias', true);
}

const aliasTaken = 'AliasTaken';

/** Those that KMS held when it was last as declared, and those that were asked for wherever they are. */
async function mayBeMoved(services: Services, { id, synced_generation, generation }: KeyRow) {
  const since = { key_ref: id, generation: { gte: synced_generation, lte: generation } };
  const revisions = await services.database.prisma.revision.findMany({ where: since });
  const namesIn = (some: typeof revisions) => some.flatMap((one) => declaredIn(one).aliases ?? []);
  return {
    held: namesIn(revisions.filter((one) => one.generation === synced_generation)),
    asked: namesIn(revisions.filter((one) => one.aliases_taken !== null)),
  };
}
