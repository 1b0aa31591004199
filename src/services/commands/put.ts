/** Declares the whole of a key under an id of the caller's own, whether there is one by now or not. */
import type { Revision } from '../../database/client.ts';
import { isCurrent, withoutMarks } from '../../domain/entity-tag.ts';
import { isUuid, timeInUuid } from '../../domain/uuid.ts';
import { assertMayTouch } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { lookUpKey } from '../keys/find.ts';
import { assertManaged } from '../keys/preconditions.ts';
import { entityTag } from '../keys/representation.ts';
import { findEarlierRun, hasHistory, lastEndOf } from '../keys/revisions.ts';
import { conflict, type Input, ProblemError } from '../problems.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { createKey } from './create.ts';
import { type Accepted, asking, type Command, change, settleNewKey, tellingTaken } from './declare.ts';
import { declaredByPut, patchTarget } from './input.ts';
import { keptRow, waitForGeneration } from './settlement.ts';

/** `ifNoneMatch`: the header. */
export type PutCommand = Command & { ifNoneMatch?: string | undefined };

/**
 * Milliseconds by which a clock of the caller's may be ahead. KMS keys are looked for from the time in an id on: it must not be
 * later than the first use of the id.
 */
const clockTolerance = 300_000;

/**
 * Makes a key, or makes the declared state of one that is there exactly this.
 * @param givenId any text.
 * @returns with `isNew`, whether it was made.
 * @throws ProblemError malformed-request, not-found, forbidden, conflict, stale-generation, invalid-input, refused-by-kms.
 */
export async function putKey(
  services: Services,
  givenId: string,
  input: Input,
  command: PutCommand,
): Promise<Accepted & { isNew: boolean }> {
  if (!isUuid(givenId)) throw badId('It must be a UUID.');
  // As PostgreSQL writes it: the ownership tag has it so too.
  const id = givenId.toLowerCase();
  for (;;) {
    const row = await lookUpKey(services, id);
    const earlier = await findEarlierRun(services, command);
    if (earlier !== null) return settleEarlier(services, id, earlier, command);
    if (row !== undefined) return { ...(await declareWhole(services, id, input, command)), isNew: false };
    const made = await make(services, id, input, command);
    if (made !== null) return { ...made, isNew: true };
  }
}

async function settleEarlier(services: Services, id: string, { origin, generation }: Revision, command: Command) {
  if (origin === 'create') {
    return { ...(await settleNewKey(services, { id, generation, keyId: null }, command)), isNew: true };
  }
  const kept = keptRow(await waitForGeneration(services, id, generation, command.wait), id);
  return { ...(await tellingTaken(services, kept, command)), isNew: false };
}

/**
 * Makes the declared state of a key that is there exactly this. Makes no key.
 * @param assertMeant throws where the key, as it is when that is decided, is not the one that is meant.
 * @throws ProblemError as putKey does.
 */
export async function declareWhole(
  services: Services,
  id: string,
  input: Input,
  command: PutCommand,
  assertMeant: (row: KeyRow) => void = () => {},
): Promise<Accepted> {
  const asked = asking(command, 'keys:update');
  await assertMayTouch(services, id, asked.rights);
  return change(services, id, asked, 'update', async (row) => {
    assertNotExcluded(services, row, command.ifNoneMatch);
    assertMeant(row);
    assertManaged(row);
    return declaredByPut(services, await patchTarget(services, row), input);
  });
}

/** @returns null when somebody else was faster: decide again. */
async function make(services: Services, id: string, input: Input, command: PutCommand): Promise<Accepted | null> {
  if (command.ifMatch !== undefined) {
    throw new ProblemError('stale-generation', `If-Match asks for ${command.ifMatch}, but there is no such key.`);
  }
  const made = timeInUuid(id);
  if (made !== null && made > services.now() + clockTolerance) {
    throw badId('The time in this UUIDv7 is in the future.');
  }
  if (await wasReleased(services, id)) {
    // The history may be that of a key which somebody has made since it was looked up.
    if ((await lookUpKey(services, id)) !== undefined) return null;
    throw conflict(
      'This id was that of a key which was released. POST /v1/keys/import takes it back; a new key needs a new id.',
    );
  }
  try {
    return await createKey(services, input, asking(command, 'keys:create'), id);
  } catch (error) {
    if (error instanceof ProblemError || (await lookUpKey(services, id)) === undefined) throw error;
    return null;
  }
}

/** @throws ProblemError stale-generation where If-None-Match names the key as it is. */
function assertNotExcluded({ watch }: Services, row: KeyRow, ifNoneMatch: string | undefined): void {
  const tag = entityTag(row, watch.gap);
  if (!isCurrent(withoutMarks(ifNoneMatch), tag)) return;
  throw new ProblemError(
    'stale-generation',
    `If-None-Match asks for ${ifNoneMatch}, but the key is there, as ${tag}.`,
    {
      keyId: row.id,
    },
  );
}

/**
 * Whether the id was that of a key which KMS may still have: two KMS keys would have one id and one history. One whose key was
 * never in KMS can be used again.
 */
async function wasReleased(services: Services, id: string): Promise<boolean> {
  return (await hasHistory(services, id)) && (await lastEndOf(services, id)) !== 'key.removed';
}

function badId(detail: string): ProblemError {
  const errors = [{ parameter: 'id', code: 'invalid_value' as const, detail }];
  return new ProblemError('malformed-request', `id: ${detail}`, { errors });
}
