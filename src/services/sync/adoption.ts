/** drift_policy adopt: what somebody made of a key in KMS becomes its desired state, as a revision that says so. */
import type { KeyRow, Prisma } from '../../database/client.ts';
import { isPendingDeletion } from '../../domain/planner.ts';
import { withoutReserved } from '../../domain/tags.ts';
import type { ObservedKey } from '../../domain/types.ts';
import type { Drift } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import { columnsOf, type DeclaredKey, declaredOf } from '../keys/declared.ts';
import { recordRevision } from '../keys/intents.ts';
import { LeaseLost } from './lease.ts';
import { recordDriftEvents, type Work } from './record.ts';

/**
 * Whether KMS's state can become the desired one. A deletion that was scheduled outside is shown and never adopted: that a
 * key is to be lost has to be asked of Keyward. Nor does a key whose store is away tell what it is.
 */
export function isAdoptable(observed: ObservedKey): boolean {
  return !isPendingDeletion(observed) && observed.key_state !== 'Unavailable';
}

/**
 * Records KMS's state as a new generation.
 * @returns the row, to go on with: the next round finds that KMS holds it.
 * @throws LeaseLost
 */
export async function adoptDrift(
  services: Services,
  { row, lease }: Work,
  observed: ObservedKey,
  drift: Drift[],
): Promise<KeyRow> {
  const generation = row.generation + 1;
  const declared = declaredAs(declaredOf(row), observed, services.ownershipTagName);
  const adopted = await services.database.prisma.$transaction(async (transaction) => {
    const [changed] = await transaction.key.updateManyAndReturn({
      where: { ...lease.fence, generation: row.generation },
      data: {
        ...columnsOf(declared),
        generation,
        drift: drift as unknown as Prisma.InputJsonArray,
        status_version: { increment: 1 },
        updated_at: new Date(),
      },
    });
    // A change of the owner's came first: it counts.
    if (changed === undefined) return transaction.key.findFirst({ where: lease.fence });
    await recordDriftEvents(transaction, row, drift);
    const revision = { keyId: row.id, generation, origin: 'drift' as const, declared, before: declaredOf(row) };
    await recordRevision(transaction, revision, { actor: 'keyward', requestId: 'none' });
    return changed;
  });
  if (adopted === null) throw new LeaseLost(row.id);
  await services.failurePoints.pass('intent-recorded');
  return adopted;
}

/** A policy that was not managed stays so. */
function declaredAs(declared: DeclaredKey, observed: ObservedKey, ownershipTagName: string): DeclaredKey {
  const { rotation } = observed;
  return {
    ...declared,
    description: observed.description,
    policy: declared.policy === null ? null : observed.policy,
    is_enabled: observed.key_state === 'Enabled',
    enable_key_rotation: rotation?.enabled ?? false,
    rotation_period_in_days: rotation?.enabled ? rotation.period_in_days : null,
    tags: withoutReserved(observed.tags, ownershipTagName),
  };
}
