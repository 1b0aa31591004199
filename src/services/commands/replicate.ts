/** Makes a replica of a multi-Region key: a record of its own, and a KMS key in another Region with the same key id. */
import { v7 as uuidv7 } from 'uuid';
import type { Transaction } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import { partitionIn } from '../../domain/regions.ts';
import { assertMayTouch } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { findKey } from '../keys/find.ts';
import { recordNewKey } from '../keys/intents.ts';
import { assertManaged, assertNotLost, assertNotReplica, assertSettledInKms } from '../keys/preconditions.ts';
import { findEarlierRun } from '../keys/revisions.ts';
import { conflict, type Input, invalidInput } from '../problems.ts';
import type { NamedProvider } from '../providers/settings.ts';
import { declaredOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { holdWork } from '../rows/write.ts';
import { visibleAmong } from '../visibility.ts';
import { aliasesToTake } from './alias-holders.ts';
import { assertMayTakeOver } from './claims.ts';
import { type Accepted, asking, type Command, generationOfOtherRun, settleNewKey } from './declare.ts';
import { declaredByReplication } from './input.ts';
import { faultOfPlace } from './replicate-to.ts';

/**
 * Declares a replica.
 * @param id of the primary key.
 * @param ownId the id that the caller has chosen for the replica.
 * @throws ProblemError not-found, forbidden (it needs keys:update on the primary key), conflict, invalid-input; refused-by-kms when KMS
 * refuses it within the wait: no record is left then.
 */
export async function replicateKey(
  services: Services,
  id: string,
  input: Input,
  by: Command,
  ownId?: string,
): Promise<Accepted> {
  const command = asking(by, 'keys:create');
  const replicaId = ownId ?? command.commandId ?? uuidv7();
  const settle = (generation: number) => settleNewKey(services, { id: replicaId, generation, keyId: null }, command);
  const earlier = await findEarlierRun(services, command);
  if (earlier !== null) return settle(earlier.generation);
  await assertMayTouch(services, id, { ...command.rights, permission: 'keys:update' });
  const primary = await findKey(services, id);
  assertPrimary(primary);
  const { declared, provider } = await declaredByReplication(services, declaredOf(primary), input, command.rights);
  await assertReachable(services, primary, provider);
  if (ownId !== undefined) await assertMayTakeOver(services, { id: ownId, provider: provider.name }, command.rights);
  const target = { id: replicaId, provider: provider.name, arn: null, key_id: null };
  const taken = await aliasesToTake(services, target, { before: null, after: declared }, command);
  const replica = {
    id: replicaId,
    provider: provider.name,
    declared,
    taken,
    origin: 'create' as const,
    isNewId: ownId === undefined && !command.isRerun,
    replicaOf: {
      id,
      assertFree: (transaction: Transaction) =>
        assertFree(services, transaction, { primary, provider }, command.rights),
    },
  };
  const generation = await recordNewKey(services, replica, command).catch((error) =>
    generationOfOtherRun(services, command, error),
  );
  return settle(generation);
}

/** @throws ProblemError conflict */
function assertPrimary(row: KeyRow): void {
  assertManaged(row);
  if (!row.multi_region) {
    throw conflict(
      'The key is not a multi-Region key, and KMS fixed that when it made it: it has no replicas.',
      row.id,
    );
  }
  assertNotReplica(row, 'replicated');
  assertSettledInKms(row);
  assertNotLost(row);
}

/** @throws ProblemError invalid-input where KMS can't replicate the key to there; temporarily-unavailable. */
async function assertReachable(services: Services, { arn }: KeyRow, provider: NamedProvider): Promise<void> {
  const [, , , region = '', account = null] = (arn ?? '').split(':');
  const detail = await faultOfPlace(services, provider, { region, partition: partitionIn(arn ?? ''), account });
  if (detail !== null) throw invalidInput([{ pointer: '/provider', code: 'incompatible' as const, detail }]);
}

/** Holds the primary's row: two that ask for one Region at once are told apart. @throws ProblemError conflict */
async function assertFree(
  services: Services,
  transaction: Transaction,
  { primary: { id, arn }, provider: { settings } }: { primary: KeyRow; provider: NamedProvider },
  { access }: { access: Access },
): Promise<void> {
  await holdWork(transaction, { id });
  const parts = (arn ?? '').split(':');
  const there = [...parts.slice(0, 3), settings.region, ...parts.slice(4)].join(':');
  const [other] = await transaction.$queryRaw<{ id: string }[]>`
    SELECT keys.id FROM keys JOIN providers ON providers.name = keys.provider
    WHERE state <> 'deleted' AND (arn = ${there} OR replica_of = ${id}::uuid AND region = ${settings.region})`;
  if (other === undefined) return;
  const detail = `The key has a replica in ${settings.region} already`;
  const isVisible = (await visibleAmong(services, [other.id], access)).has(other.id);
  throw isVisible ? conflict(`${detail}: ${other.id}.`, other.id) : conflict(`${detail}.`);
}
