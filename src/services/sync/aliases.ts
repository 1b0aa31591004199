/** Aliases that other keys have: which of them a sync may move. */
import { aliasesOf } from '../../domain/aliases.ts';
import type { DesiredKey } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { targetsOf } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { findRevision } from '../keys/revisions.ts';
import { declaredIn } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isSynced } from '../rows/predicates.ts';
import type { Sync } from './sync.ts';

/**
 * What is declared anew and points at another key is not taken from that one; what KMS held, and somebody has moved, comes back.
 * @throws KmsFailure
 */
export async function assertAliasesFree(sync: Sync): Promise<Sync> {
  const { services, work, desired, look } = sync;
  const { row } = work;
  if (desired.aliases === null || row.lifecycle !== 'managed' || isSynced(row)) return sync;
  const targets = look.observed === null ? (desired.aliases_elsewhere ?? {}) : (look.observed.aliases ?? {});
  const own = look.observed === null ? [] : (aliasesOf(look.observed) ?? []);
  const elsewhere = desired.aliases.filter((name) => targets[name] !== undefined && !own.includes(name));
  if (elsewhere.length === 0) return sync;
  const known = await mayBeMoved(services, row);
  const taken = elsewhere.find((name) => !known.includes(name));
  if (taken === undefined) return sync;
  const message = `${taken} points at another key: ${targets[taken]}`;
  throw new KmsFailure('refused', aliasTaken, message, 'CreateAlias', true);
}

/** What is aimed at with a key that is to be made, with where its aliases point at by now. @throws KmsFailure */
export async function withTargets(kms: Kms, desired: DesiredKey): Promise<DesiredKey> {
  if (desired.aliases === null || desired.lifecycle !== 'managed') return desired;
  return { ...desired, aliases_elsewhere: await targetsOf(kms, desired.aliases) };
}

const aliasTaken = 'AliasTaken';

/** Those that KMS held when it was last as declared. */
async function mayBeMoved(services: Services, row: KeyRow): Promise<string[]> {
  const held = row.synced_generation === 0 ? null : await findRevision(services, row.id, row.synced_generation);
  return held === null ? [] : (declaredIn(held).aliases ?? []);
}
