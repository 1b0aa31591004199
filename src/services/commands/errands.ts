/** Asks for an errand: that a key is rotated now, or that a grant of it is ended. The sync of the key carries it out. */
import { v7 as uuidv7 } from 'uuid';
import { type Errand, errandEvent } from '../../domain/errands.ts';
import type { ErrandName } from '../../domain/operations.ts';
import type { Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { findKey } from '../keys/find.ts';
import {
  assertManaged,
  assertMatches,
  assertNotLost,
  assertNotReplica,
  assertSettledInKms,
} from '../keys/preconditions.ts';
import { invalidInput, type KmsError, keyNotFound, ProblemError, refusedByKms } from '../problems.ts';
import { ask } from '../rows/ask.ts';
import { addErrand, findErrand, type KeyErrand } from '../rows/errands.ts';
import type { KeyRow } from '../rows/key-row.ts';
import type { Accepted, Command } from './declare.ts';

/** What is special about asking for each. */
type Kind = {
  /** @throws ProblemError for a key of which it can't be asked. */
  assertAskable(row: KeyRow): void;
  /** What the caller is told of a refusal. */
  refusal(errand: KeyErrand, kmsError: KmsError): ProblemError;
};

const ofGrant: Kind = { assertAskable: () => {}, refusal: grantRefusal };

const kinds = {
  RotateKeyOnDemand: { assertAskable: assertRotatable, refusal: rotationRefusal },
  RevokeGrant: ofGrant,
  RetireGrant: ofGrant,
} satisfies Record<ErrandName, Kind>;

/**
 * Has an errand carried out, and waits for it as long as the caller allows.
 * @throws ProblemError not-found, also where KMS has no such grant; stale-generation, conflict; invalid-input for a key that can't be
 * rotated; refused-by-kms with KMS's words.
 */
export async function runErrand(services: Services, id: string, asked: Errand, command: Command): Promise<Accepted> {
  const { prisma } = services.database;
  const row = await findKey(services, id);
  const errandId = command.commandId ?? uuidv7();
  // An earlier run of the same request may have recorded it, and been cut off before it answered.
  if ((await findErrand(prisma, errandId)) === null) {
    assertMatches(row, command.ifMatch);
    assertManaged(row);
    kinds[asked.operation].assertAskable(row);
    assertSettledInKms(row);
    assertNotLost(row);
    await record(services, row, { id: errandId, ...asked }, command);
  }
  const settled = await services.changes.waitFor(id, command.wait, async () => {
    const errand = await findErrand(prisma, errandId);
    return errand !== null && errand.outcome !== 'pending' ? errand : undefined;
  });
  if (settled?.outcome === 'refused') throw refusal(settled);
  return { row: await findKey(services, id), pending: settled === undefined };
}

/** An observation is asked for along with it: a sync that is under way then comes back to the key. */
async function record(services: Services, row: KeyRow, errand: { id: string } & Errand, by: Command): Promise<void> {
  await services.database.prisma.$transaction(async (transaction) => {
    // Another run of the same request may have been faster.
    if ((await findErrand(transaction, errand.id)) !== null) return;
    if ((await ask(transaction, row.id, 'errand')) === null) throw keyNotFound(row.id);
    await addErrand(transaction, { ...errand, key_ref: row.id, actor: by.actor, request_id: by.requestId });
    await recordEvent(transaction, errandEvent(row, errand, null), by);
    await services.notifications.wake(transaction, row);
  });
  await services.failurePoints.pass('intent-recorded');
}

function refusal(errand: KeyErrand): ProblemError {
  // What never got as far as a call has no operation on record.
  const kmsError: KmsError = { operation: null, ...(errand.error as Omit<KmsError, 'operation'>) };
  return kinds[errand.operation].refusal(errand, kmsError);
}

/** Rotation is for symmetric encryption keys whose material KMS makes, and of a replica its primary key's. */
function assertRotatable(row: KeyRow): void {
  assertNotReplica(row, 'rotated');
  if (row.customer_master_key_spec === 'SYMMETRIC_DEFAULT' && row.custom_key_store_id === null) return;
  const kind = row.custom_key_store_id === null ? row.customer_master_key_spec : 'a key in a custom key store';
  const detail = `KMS rotates only symmetric encryption keys (SYMMETRIC_DEFAULT) with key material of its own; this is ${kind}.`;
  throw invalidInput([{ pointer: '', code: 'incompatible', detail }]);
}

function rotationRefusal({ key_ref }: KeyErrand, kmsError: KmsError): ProblemError {
  const aftermath =
    kmsError.code === 'LimitExceededException'
      ? 'KMS allows no more on-demand rotations of this key. Automatic rotation (enable_key_rotation) has no such limit; POST …/replace makes a new KMS key.'
      : 'The key was not rotated.';
  return refusedByKms(kmsError, key_ref, aftermath);
}

function grantRefusal({ key_ref, parameters }: KeyErrand, kmsError: KmsError): ProblemError {
  if (kmsError.code !== 'NotFoundException') return refusedByKms(kmsError, key_ref, 'The grant is as it was.');
  const detail = `KMS has no grant ${JSON.stringify(parameters['GrantId'])} of this key: ${kmsError.message}`;
  return new ProblemError('not-found', detail, { keyId: key_ref, kmsError });
}
