/** Makes keys: a record, in one transaction with those of its replicas, and the wait for what KMS makes of them. */
import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { timeInUuid } from '../../domain/uuid.ts';
import type { Services } from '../context.ts';
import { lookUpKey } from '../keys/find.ts';
import { recordNewKey } from '../keys/intents.ts';
import { findEarlierRun } from '../keys/revisions.ts';
import type { Input } from '../problems.ts';
import { headStartOfCreate } from '../sync/head-start.ts';
import { aliasesToTake } from './alias-holders.ts';
import { assertMayTakeOver } from './claims.ts';
import { type Accepted, type Command, generationOfOtherRun, settleNewKey } from './declare.ts';
import { declaredTogether, replicateTo } from './replicate-to.ts';
import { waitForGeneration } from './settlement.ts';

/**
 * Declares a new key, and replicas of it.
 * @param ownId the id that the caller has chosen: nobody can know that it was never used before.
 * @throws ProblemError invalid-input; refused-by-kms when KMS refuses it within the wait: no record is left then, of replicas
 * neither.
 */
export async function createKey(services: Services, input: Input, command: Command, ownId?: string): Promise<Accepted> {
  const id = ownId ?? command.commandId ?? uuidv7();
  const replicaIds = replicateTo(input).map((name) => replicaIdOf(id, name));
  const settle = (generation: number) => settleTogether(services, { id, generation, replicaIds }, command);
  const earlier = await findEarlierRun(services, command);
  if (earlier !== null) return settle(earlier.generation);
  const { declared, provider, replicas } = await declaredTogether(services, input, command.rights);
  if (ownId !== undefined) await assertMayTakeOver(services, { id, provider: provider.name }, command.rights);
  const isNewId = ownId === undefined && !command.isRerun;
  const target = { id, provider: provider.name, arn: null, key_id: null };
  const taken = await aliasesToTake(services, target, { before: null, after: declared }, command);
  const asNew = { origin: 'create' as const, isNewId };
  const together = replicas.map(({ provider: { name }, declared }) => {
    return { ...asNew, id: replicaIdOf(id, name), provider: name, declared, replicaOf: { id }, dueIn: usuallyMade };
  });
  const key = { ...asNew, id, provider: provider.name, declared, taken, replicas: together };
  // What other keys have is asked anew when they are moved.
  const isKnown = isNewId && (taken ?? []).length === 0;
  const headStart = isKnown ? await headStartOfCreate(services, { id, provider, declared }) : null;
  const generation = await recordNewKey(services, key, command, headStart).catch((error) =>
    generationOfOtherRun(services, command, error),
  );
  return settle(generation);
}

/** Milliseconds: a key is made in less, as a rule, and wakes its replicas. */
const usuallyMade = 5000;

/** The same in every run of a command, and later than that of the primary key: rows are taken in the order of their ids. */
function replicaIdOf(id: string, provider: string): string {
  const random = createHash('sha256').update(`${id} ${provider}`).digest();
  return uuidv7({ msecs: (timeInUuid(id) ?? 0) + 1, random });
}

type Together = { id: string; generation: number; replicaIds: string[] };

/** A replica that KMS refuses takes nothing back: of the key there is no way back but its deletion. */
async function settleTogether(services: Services, created: Together, command: Command): Promise<Accepted> {
  const until = Date.now() + command.wait;
  const accepted = await settleNewKey(services, { ...created, keyId: null }, command);
  const arePending = created.replicaIds.map(async (id) => {
    const row = await lookUpKey(services, id);
    if (row === undefined) return false;
    const left = Math.max(0, until - Date.now());
    return (await waitForGeneration(services, id, row.generation, left)).kind === 'pending';
  });
  return { ...accepted, pending: [...(await Promise.all(arePending)), accepted.pending].includes(true) };
}
