/**
 * Replicas of multi-Region keys. A replica is made in its own Region by a call to that of its primary key, and has the key id of
 * that one: what became of the call, and whether the Region has one already, is told by a look at that key id there.
 */

import { isPendingDeletion } from '../../domain/key-state.ts';
import { claimedIdIn } from '../../domain/tags.ts';
import type { DesiredKey, Step } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { type DescribedKey, describeKey, readTags } from '../../kms/observe.ts';
import { alsoHeldTo } from '../../kms/quotas.ts';
import type { Services } from '../context.ts';
import { findHolder, lookUpKey } from '../keys/find.ts';
import { type Access, accessToKey, unusable } from '../providers/access.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isLost } from '../rows/predicates.ts';

/** The codes of errors of replicas that can't be made. */
export const noPrimaryKey = 'NoPrimaryKey';
export const primaryNotMade = 'PrimaryKeyNotMade';

const isReplicated = (message: string, code: string, operation: OfPrimary = 'ReplicateKey') =>
  new KmsFailure('refused', code, message, operation, true);

/** What is sent to the KMS of the primary key. */
type OfPrimary = 'ReplicateKey' | 'UpdatePrimaryRegion';

/** A key that the replica's Region has under the id of the primary. `owner`: the id in its ownership tag; null: none. */
export type FoundReplica = { described: DescribedKey; owner: string | null };

/** A primary that KMS has, by its record. */
type Primary = KeyRow & { key_id: string; arn: string };

/**
 * The primary of a replica that KMS has yet to make, or to promote.
 * @param operation what is to be asked of it.
 * @throws KmsFailure where there is none, or it is still to be made.
 */
async function primaryOf(services: Services, { replica_of: id }: KeyRow, operation: OfPrimary): Promise<Primary> {
  const row = id === null ? undefined : await lookUpKey(services, id);
  const isGone = row === undefined || row.state === 'deleted' || isLost(row);
  if (isGone) throw isReplicated('KMS has no primary key any more that this is a replica of', noPrimaryKey, operation);
  // One that KMS made and would not have as declared too.
  if (row.lifecycle === 'pending_deletion')
    throw isReplicated('The primary key is to be deleted', noPrimaryKey, operation);
  const { key_id, arn } = row;
  // One that was never held as declared may still be refused, and deleted again.
  if (key_id !== null && arn !== null && row.synced_generation > 0) return { ...row, key_id, arn };
  if (row.state === 'failed') throw isReplicated('KMS did not make the primary key', noPrimaryKey, operation);
  const message = 'The primary key is still to be made; Keyward goes on when KMS has it';
  throw new KmsFailure('fault', primaryNotMade, message, operation, true);
}

const isOfPrimary = (operation: string): operation is OfPrimary =>
  operation === 'ReplicateKey' || operation === 'UpdatePrimaryRegion';

/** The way to the KMS that takes these steps for a key: what is done to its primary key is done alone. @throws KmsFailure */
export async function senderOf(services: Services, kms: Kms, row: KeyRow, steps: Step[]): Promise<Kms> {
  const operation = steps.map((step) => step.operation).find(isOfPrimary);
  if (operation === undefined) return kms;
  const { kms: sender } = await accessToKey(services, await primaryOf(services, row, operation));
  return { ...sender, quotas: alsoHeldTo(sender.quotas, kms.quotas) };
}

/**
 * What the planner aims at: of a replica that KMS has yet to make, which key it is to be of.
 * @throws KmsFailure where there is no such key, or the provider leads to another account than its own.
 */
export async function withPrimary(services: Services, { kms }: Access, row: KeyRow, desired: DesiredKey) {
  if (row.replica_of === null || row.key_id !== null) return desired;
  const primary = await primaryOf(services, row, 'ReplicateKey');
  const here = (await kms.identity())?.account ?? null;
  const account = primary.arn.split(':')[4];
  if (here !== null && here !== account) {
    const message = `The primary key ${primary.arn} is of account ${account}, and provider ${row.provider} is of account ${here}`;
    throw unusable('WrongAccountOrRegion', message);
  }
  return { ...desired, replicates: { KeyId: primary.key_id, ReplicaRegion: kms.region } };
}

/** The key that the replica's Region has under the id of the primary; null: none. @throws KmsFailure */
export async function findReplica(services: Services, kms: Kms, row: KeyRow): Promise<FoundReplica | null> {
  const primary = row.replica_of === null ? undefined : await lookUpKey(services, row.replica_of);
  if (primary?.key_id == null) return null;
  try {
    const described = await describeKey(kms, primary.key_id);
    const tags = await readTags(kms, primary.key_id);
    return { described, owner: claimedIdIn(tags, services.ownershipTagName) };
  } catch (error) {
    if (error instanceof KmsFailure && error.kind === 'not_found') return null;
    throw error;
  }
}

/**
 * Whether a key that the Region has already may be the record's, by the rules of an import.
 * @throws KmsFailure that refuses the replica, and says whose it is.
 */
export async function assertAdoptable(services: Services, row: KeyRow, { described, owner }: FoundReplica) {
  const { arn } = described;
  const managed = await findHolder(services.database.prisma, arn);
  const exists = 'AlreadyExistsException';
  if (managed !== null || (owner !== null && owner !== row.id)) {
    const message = `The replica ${arn} is there already and another record's, of this installation or of the one whose ownership tag it carries`;
    throw isReplicated(message, exists);
  }
  if (!isPendingDeletion(described)) return;
  throw isReplicated(
    `The replica ${arn} is there already and pending deletion: cancel that, or wait for its end`,
    exists,
  );
}
