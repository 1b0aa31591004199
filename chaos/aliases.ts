/** Aliases of a run: few names for many keys, so that they are taken from one another; and somebody else who moves them. */
import { DeleteAliasCommand, type KMSClient, UpdateAliasCommand } from '@aws-sdk/client-kms';
import type { Ledger } from './ledger.ts';
import type { Random } from './random.ts';

const names = ['alias/chaos/a', 'alias/chaos/b', 'alias/chaos/c/d'] as const;

/** What a key is to declare. */
export function anyAliases(random: Random): string[] {
  return names.filter(() => random.chance(0.4));
}

/** Whether names that other keys have are taken from them. */
export function queryOf(random: Random): string {
  return random.chance(0.7) ? '?take_aliases=true' : '';
}

export type Move = { name: string; isDeleted: boolean };

export function anyMove(random: Random): Move {
  return { name: random.pick(names), isDeleted: random.chance(0.5) };
}

/**
 * Somebody deletes an alias, or points it at another key.
 * @param to the KMS key.
 */
export async function moveOutside(
  kms: KMSClient,
  ledger: Ledger,
  { name, isDeleted }: Move,
  to: string,
): Promise<void> {
  ledger.movedAliases.add(name);
  const move = isDeleted
    ? new DeleteAliasCommand({ AliasName: name })
    : new UpdateAliasCommand({ AliasName: name, TargetKeyId: to });
  // There may be no such alias, or one of a key of another kind; of an answer that was lost nobody can tell.
  const isMoved = await kms.send(move as DeleteAliasCommand).then(
    () => true,
    (error: { $fault?: string }) => error.$fault !== 'client',
  );
  if (isMoved && !isDeleted) ledger.pointedOutside.push(to);
}
