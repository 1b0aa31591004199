/** Brings an earlier desired state of a key back. */
import type { Revision } from '../../database/client.ts';
import { immutableChanges } from '../../domain/key-rules.ts';
import type { PolicyDocument } from '../../domain/types.ts';
import type { Services } from '../context.ts';
import { findKey } from '../keys/find.ts';
import { assertManaged } from '../keys/preconditions.ts';
import { findRevision } from '../keys/revisions.ts';
import { invalidInput } from '../problems.ts';
import { settingsFor } from '../providers/settings.ts';
import { type DeclaredKey, declaredIn, declaredOf } from '../rows/declared.ts';
import { type Accepted, type Command, change } from './declare.ts';
import { assertRulesHold } from './input.ts';

/**
 * Declares a revision's desired state anew, as a further generation. That a revision asked for the key's deletion or
 * release is not repeated: the key stays managed.
 * @throws ProblemError not-found, stale-generation, conflict, refused-by-kms; invalid-input when there is no such
 * revision, and when it can't be had without a replacement.
 */
export async function rollbackKey(
  services: Services,
  id: string,
  generation: number,
  command: Command,
): Promise<Accepted> {
  await findKey(services, id);
  const revision = await findRevision(services, id, generation);
  if (revision === null) {
    const detail = `The key has no revision of generation ${generation}, or it is kept no longer.`;
    throw invalidInput([{ pointer: '/generation', code: 'not_found', detail }]);
  }
  const earlier = await desiredStateOf(services, revision);
  return change(services, id, command, 'rollback', async (row) => {
    assertManaged(row);
    const now = declaredOf(row);
    const { lifecycle, pending_window_in_days } = now;
    const declared = { ...earlier, lifecycle, pending_window_in_days };
    const immutable = immutableChanges(now, declared).map((violation) => ({ ...violation, pointer: '/generation' }));
    if (immutable.length > 0) throw invalidInput(immutable);
    assertRulesHold(services, await settingsFor(services, row.provider), declared);
    return declared;
  });
}

/**
 * What a revision declared. Where it left the policy alone and a later one did not, the policy that was in force until
 * then is part of it: KMS is to be as it was.
 */
async function desiredStateOf(services: Services, revision: Revision): Promise<DeclaredKey> {
  const desired = declaredIn(revision);
  if (desired.policy !== null) return desired;
  const ofKey = { key_ref: revision.key_ref, generation: { gt: revision.generation } };
  const later = await services.database.prisma.revision.findMany({
    where: ofKey,
    orderBy: { generation: 'asc' },
    select: { desired: true, policy_before: true },
  });
  const replaced = later.find((one) => declaredIn(one).policy !== null);
  return { ...desired, policy: (replaced?.policy_before as PolicyDocument | null | undefined) ?? null };
}
