/** Takes a key that somebody made outside into management, as it is. */
import { v7 as uuidv7 } from 'uuid';
import type { Rights } from '../../domain/access.ts';
import { imported } from '../../domain/adoption.ts';
import { type DeclaredKey, immutableArguments, nothingDeclared } from '../../domain/arguments.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import type { ProviderSettings } from '../../domain/provider.ts';
import { claimedIdIn, mergeTags, mostTags, ownTags, withoutReserved } from '../../domain/tags.ts';
import type { ObservedKey } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { tagsOf } from '../../kms/inventory.ts';
import { type DescribedKey, describeKey, observeKey } from '../../kms/observe.ts';
import { placeOf } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { lookUpKey } from '../keys/find.ts';
import { recordNewKey } from '../keys/intents.ts';
import { findEarlierRun, hasHistory, lastEndOf, releasedArnOf } from '../keys/revisions.ts';
import { conflict, invalidInput, ProblemError, problemOf } from '../problems.ts';
import { accessTo, homeElsewhere } from '../providers/access.ts';
import { findSettings, noSuchProvider } from '../providers/settings.ts';
import { type Accepted, type Command, settleNewKey } from './declare.ts';

/** A key to import. `as`: in place of what KMS has, and of an id that is Keyward's choice. */
export type ImportRequest = { key_id: string; provider: string; as?: ImportedAs };

/** `declare`: what the key declares from now on. @throws ProblemError where that can't be had of the key that was found. */
export type ImportedAs = { id: string; declare(observed: ObservedKey, settings: ProviderSettings): DeclaredKey };

/** A key as it would be put on record. */
export type Importable = { id: string; observed: ObservedKey; declared: DeclaredKey; settings: ProviderSettings };

/**
 * Imports a key. Nothing in KMS is changed but the ownership tag.
 * @param request `key_id` is a key id, key ARN, alias name or alias ARN.
 * @throws ProblemError not-found, conflict (with the id) when it is managed already, invalid-input when it can't be
 * managed, refused-by-kms, temporarily-unavailable.
 */
export async function importKey(services: Services, request: ImportRequest, command: Command): Promise<Accepted> {
  const earlier = await findEarlierRun(services, command);
  if (earlier !== null) {
    const recorded = await lookUpKey(services, earlier.key_ref);
    const created = { id: earlier.key_ref, generation: earlier.generation, keyId: recorded?.key_id ?? null };
    return settleNewKey(services, created, command);
  }
  const { id, observed, declared } = await findImportable(services, request, command);
  const identity = { arn: observed.arn, key_id: observed.key_id };
  const key = { id, provider: request.provider, declared, origin: 'import' as const, identity, isNewId: false };
  const generation = await recordNewKey(services, key, command).catch(async (error) => {
    await assertUnmanaged(services, observed.arn);
    throw error;
  });
  return settleNewKey(services, { id, generation, keyId: observed.key_id }, command);
}

/** Looks at a key, and decides what it would be on record. @throws ProblemError as importKey does. */
export async function findImportable(
  services: Services,
  request: ImportRequest,
  { rights, commandId }: Pick<Command, 'rights' | 'commandId'>,
): Promise<Importable> {
  const isKnown = rights.access.mayAt('keys:import', request.provider);
  const settings = isKnown ? await findSettings(services, request.provider) : null;
  if (settings === null) throw noSuchProvider(request.provider);
  const observed = await observeImportable(services, request, rights);
  if (request.as !== undefined) await assertIdFree(services, request.as.id, observed.arn);
  const id = await idFor(services, observed, commandId ?? uuidv7(), request.as?.id);
  const { ownershipTagName } = services;
  const declared = request.as?.declare(observed, settings) ?? declaredByKms(observed, settings, ownershipTagName);
  const total = Object.keys(mergeTags(settings, declared.tags)).length + 1;
  if (total > mostTags) {
    throw invalid(
      '/key_id',
      `With the provider's default tags and the ownership tag, ${observed.arn} would have ${total} tags; KMS takes ${mostTags}.`,
    );
  }
  return { id, observed, declared, settings };
}

/** What a failure says of a key, and not of the way to it. */
const answersOfKms = new Set<KmsFailure['kind']>(['not_found', 'denied', 'unpropagated', 'conflict', 'refused']);

async function observeImportable(
  services: Services,
  { key_id: keyId, provider }: { key_id: string; provider: string },
  rights: Rights,
): Promise<ObservedKey> {
  const isLimited = !(['keys:import', 'keys:read'] as const).every((one) => rights.access.hasEverywhere(one));
  try {
    const { kms } = await accessTo(services, provider);
    const elsewhere = await homeElsewhere(kms, keyId);
    if (elsewhere !== null) throw invalid('/key_id', `${keyId} is ${elsewhere} (${provider}).`);
    const described = await describeKey(kms, keyId).catch((error) => {
      // A limited caller is told the same of a key that is not there and of one that is somebody else's.
      throw isLimited && error instanceof KmsFailure && answersOfKms.has(error.kind) ? noSuchKey(keyId) : error;
    });
    if (isLimited && !(await isVisible(services, kms, { described, provider, rights }))) throw noSuchKey(keyId);
    const home = await homeElsewhere(kms, described.arn);
    if (home !== null) throw invalid('/key_id', `${keyId} is the key ${described.arn}: it is ${home} (${provider}).`);
    await assertUnmanaged(services, described.arn);
    assertImportable(described, services.failurePoints.isOff('states-are-guessed'));
    return await observeKey(kms, described.key_id, described);
  } catch (error) {
    if (isLimited && error instanceof KmsFailure && error.kind === 'not_found') throw noSuchKey(keyId);
    throw error instanceof KmsFailure ? problemOf(error, keyId) : error;
  }
}

type Candidate = { described: DescribedKey; provider: string; rights: Rights };

/** A key is seen by the tags that it has in KMS, and by those of the records that have to do with it. */
async function isVisible(services: Services, kms: Kms, { described, provider, rights }: Candidate): Promise<boolean> {
  const tags = await tagsOf(kms, described.key_id);
  const visible = tags === null ? null : withoutReserved(tags, services.ownershipTagName);
  if (visible === null || !rights.access.may('keys:import', { provider, tags: visible })) return false;
  const { prisma } = services.database;
  const former = await prisma.formerKey.findMany({ where: { arn: described.arn }, select: { key_ref: true } });
  const claimed = claimedIdIn(tags ?? {}, services.ownershipTagName);
  const ids = [...former.map(({ key_ref }) => key_ref), ...(claimed === null ? [] : [claimed])];
  const records = await prisma.key.findMany({
    where: { OR: [{ arn: described.arn }, { id: { in: ids } }] },
    select: { provider: true, tags_all: true },
  });
  return records.every((record) => rights.access.may('keys:read', placeOf(record)));
}

function noSuchKey(keyId: string): ProblemError {
  return new ProblemError('not-found', `KMS has no key ${JSON.stringify(keyId)} that you may take into management.`);
}

/** @throws ProblemError conflict */
export async function assertUnmanaged({ database }: Services, arn: string): Promise<void> {
  const managed = await database.prisma.key.findUnique({ where: { arn }, select: { id: true } });
  if (managed !== null) throw conflict(`The key ${arn} is managed already, as ${managed.id}.`, managed.id);
  // Asked in this order: a replacement that begins in between is seen here, one that is taken back by the record's ARN.
  const former = await formerInUse(database, arn);
  if (former === null) return;
  const detail = `The key ${arn} is being replaced, or is to be deleted, as a former key of ${former.key_ref}.`;
  throw conflict(detail, former.key_ref);
}

/** A former key that is to be deleted, or that comes back to its record when KMS refuses the new one, lost or not. */
async function formerInUse({ prisma }: Services['database'], arn: string) {
  const formers = await prisma.formerKey.findMany({ where: { arn } });
  const replaced = await prisma.key.findMany({
    where: { id: { in: formers.map(({ key_ref }) => key_ref) }, replacement: 'begun' },
    select: { id: true, synced_generation: true },
  });
  const mayReturn = ({ key_ref, generation }: (typeof formers)[number]) =>
    replaced.some(({ id, synced_generation }) => id === key_ref && generation > synced_generation);
  return formers.find((former) => former.deletion === 'waiting' || mayReturn(former)) ?? null;
}

function assertImportable(key: DescribedKey, guessesStates: boolean): void {
  if (key.key_manager === 'AWS') {
    throw invalid('/key_id', `${key.arn} is an AWS managed key: only AWS can change it.`);
  }
  if (key.is_replica === null) {
    throw invalid('/key_id', `KMS does not tell whether ${key.arn} is a multi-Region replica.`);
  }
  if (key.is_replica) {
    throw invalid('/key_id', `${key.arn} is a multi-Region replica: import its primary key.`);
  }
  if (isPendingDeletion(key)) {
    throw invalid('/key_id', `${key.arn} is pending deletion: cancel the deletion, then import it.`);
  }
  if (key.enabled === null && !guessesStates) {
    const detail = `${key.arn} is ${key.key_state}, which does not tell whether it is enabled`;
    throw invalid('/key_id', `${detail}: import it when it is Enabled or Disabled.`);
  }
}

/**
 * A key that already carries an ownership tag keeps the id in it: its record was lost, or never written. One that a record had
 * before, and that somebody wants back, becomes a record of its own.
 * @param ownId the id that the caller has chosen.
 * @throws ProblemError conflict when that id is another key's, or the key's id is another one.
 */
async function idFor(services: Services, observed: ObservedKey, newId: string, ownId?: string): Promise<string> {
  const { ownershipTagName } = services;
  const visibleTags = Object.keys(withoutReserved(observed.tags, ownershipTagName)).length;
  if (visibleTags >= mostTags) {
    throw invalid('/key_id', `${observed.arn} has ${visibleTags} tags, so there is no room for the ownership tag.`);
  }
  const claimed = claimedIdIn(observed.tags, ownershipTagName);
  if (claimed === null || claimed === ownId) return ownId ?? newId;
  if (ownId !== undefined) {
    const detail = `${observed.arn} carries the ownership tag of ${claimed}, and not of ${ownId}: another installation may manage it.`;
    throw conflict(`${detail} Release it there, or import it under that id.`);
  }
  const claimant = await services.database.prisma.key.findUnique({ where: { id: claimed }, select: { arn: true } });
  // A key that was let go of, and whose tag somebody has put back: its generations are over.
  if (claimant === null) return (await hasHistory(services, claimed)) ? newId : claimed;
  const ofClaimant = { key_ref: claimed, arn: observed.arn };
  if ((await services.database.prisma.formerKey.findFirst({ where: ofClaimant })) !== null) return newId;
  throw conflict(`${observed.arn} carries the ownership tag of the managed key ${claimed}.`, claimed);
}

/** The history of an id is that of one KMS key. @throws ProblemError conflict */
async function assertIdFree(services: Services, id: string, arn: string): Promise<void> {
  if (!(await hasHistory(services, id)) || (await lookUpKey(services, id)) !== undefined) return;
  if ((await lastEndOf(services, id)) === 'key.removed' || (await releasedArnOf(services, id)) === arn) return;
  throw conflict(`The id ${id} was that of another KMS key, which was released: ${arn} needs a new one.`);
}

/** @throws ProblemError invalid-input: what a key is can't be guessed. */
function declaredByKms(observed: ObservedKey, settings: ProviderSettings, ownershipTagName: string): DeclaredKey {
  const untold = immutableArguments.find((name) => observed[name] === null && nothingDeclared[name] !== null);
  if (untold !== undefined) throw invalid('/key_id', `KMS does not tell the ${untold} of ${observed.arn}.`);
  return {
    ...imported(observed, ownTags(observed.tags, settings, ownershipTagName)),
    is_enabled: observed.enabled === true,
    drift_policy: settings.drift_policy,
  };
}

function invalid(pointer: string, detail: string): ProblemError {
  return invalidInput([{ pointer, code: 'incompatible', detail }]);
}
