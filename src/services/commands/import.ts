/** Takes a key that somebody made outside into management, as it is. */
import { v7 as uuidv7 } from 'uuid';
import type { Rights } from '../../domain/access.ts';
import { imported } from '../../domain/adoption.ts';
import { type DeclaredKey, immutableArguments, nothingDeclared } from '../../domain/arguments.ts';
import { type ImportFilters, lackingTag, passedOver } from '../../domain/imports.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import type { ProviderSettings } from '../../domain/provider.ts';
import { claimedIdIn, mergeTags, mostTags, ownTags, withoutReserved } from '../../domain/tags.ts';
import type { ObservedKey, Tags } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { tagsOf } from '../../kms/inventory.ts';
import { type DescribedKey, describeKey, observeKey } from '../../kms/observe.ts';
import { forbidden, mayKnowAllKeys, placeOf } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { lookUpKey } from '../keys/find.ts';
import { type NewKey, recordNewKey } from '../keys/intents.ts';
import { findEarlierRun, hasHistory, lastEndOf, releasedArnOf } from '../keys/revisions.ts';
import { conflict, problemOf } from '../problems.ts';
import { type Access, accessTo, homeElsewhere } from '../providers/access.ts';
import { findSettings, noSuchProvider } from '../providers/settings.ts';
import { aliasesToTake } from './alias-holders.ts';
import { type Accepted, type Command, settleNewKey } from './declare.ts';
import { assertUnmanaged, NotImportable, noSuchKey, notImportable } from './import-refusals.ts';

/** What a key is to declare, in place of what KMS has, and under which id, in place of one of Keyward's choice. */
export type ImportedAs = {
  id?: string;
  /** @throws ProblemError where that can't be had of the key that was found. */
  declare(observed: ObservedKey, settings: ProviderSettings): DeclaredKey;
};

/** A key to import. */
export type ImportRequest = {
  /** A key id, key ARN, alias name or alias ARN. */
  key_id: string;
  provider: string;
  as?: ImportedAs;
  filters?: ImportFilters;
  /** Whether it is known that no record has the key. */
  isUnmanaged?: boolean;
};

/** A key as it would be put on record. */
export type Importable = { id: string; observed: ObservedKey; declared: DeclaredKey; settings: ProviderSettings };

/**
 * Imports a key. Nothing in KMS is changed but the ownership tag.
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
  const importable = await findImportable(services, request, command);
  const { id, observed, declared } = importable;
  const target = { id, provider: request.provider, arn: observed.arn, key_id: observed.key_id };
  const taken = await aliasesToTake(services, target, { before: null, after: declared }, command);
  const key = { ...importedKey(request, importable), taken };
  const generation = await recordNewKey(services, key, command).catch(async (error) => {
    await assertUnmanaged(services, observed.arn);
    throw error;
  });
  return settleNewKey(services, { id, generation, keyId: observed.key_id }, command);
}

/** The record that an import makes. */
export function importedKey(
  { provider }: Pick<ImportRequest, 'provider'>,
  { id, observed, declared }: Importable,
): NewKey {
  const identity = { arn: observed.arn, key_id: observed.key_id };
  return { id, provider, declared, origin: 'import', identity, isNewId: false };
}

/**
 * The way to a provider where the caller may import.
 * @throws ProblemError forbidden where it may import nowhere, invalid-input where there is none, temporarily-unavailable.
 */
export async function accessForImport(services: Services, provider: string, { access }: Rights): Promise<Access> {
  if (!access.hasSomewhere('keys:import')) throw forbidden('keys:import');
  const isKnown = access.mayAt('keys:import', provider) && (await findSettings(services, provider)) !== null;
  if (!isKnown) throw noSuchProvider(provider);
  return accessTo(services, provider).catch((error) => {
    throw error instanceof KmsFailure ? problemOf(error, provider) : error;
  });
}

/**
 * Looks at a key, and decides what it would be on record.
 * @param way to its provider, where that is known.
 * @throws ProblemError as importKey does; NotImportable where the key itself is the reason.
 */
export async function findImportable(
  services: Services,
  request: ImportRequest,
  { rights, commandId }: Pick<Command, 'rights' | 'commandId'>,
  way?: Access,
): Promise<Importable> {
  const { kms, settings } = way ?? (await accessForImport(services, request.provider, rights));
  const { as } = request;
  const observed = await observeImportable(services, kms, request, rights);
  if (as?.id !== undefined) await assertIdFree(services, as.id, observed.arn);
  const id = await idFor(services, observed, commandId ?? uuidv7(), as?.id);
  const declared = as?.declare(observed, settings) ?? declaredByKms(services, observed, settings);
  const total = Object.keys(mergeTags(settings, declared.tags)).length + 1;
  if (total > mostTags) {
    throw notImportable(
      'too_many_tags',
      `With the provider's default tags and the ownership tag, ${observed.arn} would have ${total} tags; KMS takes ${mostTags}.`,
    );
  }
  return { id, observed, declared, settings };
}

/** What a failure says of a key, and not of the way to it. */
const answersOfKms = new Set<KmsFailure['kind']>(['not_found', 'denied', 'unpropagated', 'conflict', 'refused']);

async function observeImportable(
  services: Services,
  kms: Kms,
  request: ImportRequest,
  rights: Rights,
): Promise<ObservedKey> {
  const { key_id: keyId, provider } = request;
  const isLimited = !mayKnowAllKeys(rights.access);
  try {
    const elsewhere = await homeElsewhere(kms, keyId);
    if (elsewhere !== null) throw notImportable('elsewhere', `${keyId} is ${elsewhere} (${provider}).`);
    const described = await describeKey(kms, keyId).catch((error) => {
      // A limited caller is told the same of a key that is not there and of one that is somebody else's.
      throw isLimited && error instanceof KmsFailure && answersOfKms.has(error.kind) ? noSuchKey(keyId) : error;
    });
    if (isLimited && !(await isVisible(services, kms, { described, provider, rights }))) throw noSuchKey(keyId);
    const home = await homeElsewhere(kms, described.arn);
    if (home !== null) {
      throw notImportable('elsewhere', `${keyId} is the key ${described.arn}: it is ${home} (${provider}).`);
    }
    if (request.isUnmanaged !== true) await assertUnmanaged(services, described.arn);
    assertImportable(described, services.failurePoints.isOff('states-are-guessed'));
    await assertAskedFor(services, kms, described, request.filters ?? {});
    return await observeKey(kms, described.key_id, { described, aliases: null });
  } catch (error) {
    if (isLimited && error instanceof KmsFailure && error.kind === 'not_found') throw noSuchKey(keyId);
    throw error instanceof KmsFailure ? problemOf(error, keyId) : error;
  }
}

/** @throws NotImportable filtered; KmsFailure */
async function assertAskedFor({ ownershipTagName }: Services, kms: Kms, key: DescribedKey, filters: ImportFilters) {
  const passed = passedOver(filters, key);
  if (passed !== null) throw notImportable('filtered', passed);
  if (filters.tags === undefined) return;
  const lacking = lackingTag(filters, withoutReserved((await tagsOf(kms, key.key_id)) ?? {}, ownershipTagName));
  if (lacking !== null) throw notImportable('filtered', lacking);
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

function assertImportable(key: DescribedKey, guessesStates: boolean): void {
  if (key.key_manager === 'AWS') {
    throw notImportable('aws_managed', `${key.arn} is an AWS managed key: only AWS can change it.`);
  }
  if (key.is_replica === null) {
    throw notImportable('untold', `KMS does not tell whether ${key.arn} is a multi-Region replica.`);
  }
  if (isPendingDeletion(key)) {
    throw notImportable('pending_deletion', `${key.arn} is pending deletion: cancel the deletion, then import it.`);
  }
  if (key.enabled === null && !guessesStates) {
    const detail = `${key.arn} is ${key.key_state}, which does not tell whether it is enabled`;
    throw notImportable('state_unclear', `${detail}: import it when it is Enabled or Disabled.`);
  }
}

/**
 * A key that already carries an ownership tag keeps the id in it: its record was lost, or never written. One that a record had
 * before, and that somebody wants back, becomes a record of its own.
 * @param ownId the id that the caller has chosen.
 * @throws NotImportable of kind conflict when that id is another key's, or the key's id is another one.
 */
async function idFor(services: Services, observed: ObservedKey, newId: string, ownId?: string): Promise<string> {
  const { ownershipTagName } = services;
  const visibleTags = Object.keys(withoutReserved(observed.tags, ownershipTagName)).length;
  if (visibleTags >= mostTags) {
    const detail = `${observed.arn} has ${visibleTags} tags, so there is no room for the ownership tag.`;
    throw notImportable('too_many_tags', detail);
  }
  const claimed = claimedIdIn(observed.tags, ownershipTagName);
  if (claimed === null || claimed === ownId) return ownId ?? newId;
  if (ownId !== undefined) {
    const detail = `${observed.arn} carries the ownership tag of ${claimed}, and not of ${ownId}: another installation may manage it.`;
    const advice = 'Release it there, or import it under that id.';
    throw new NotImportable('claimed', 'conflict', `${detail} ${advice}`);
  }
  const claimant = await services.database.prisma.key.findUnique({ where: { id: claimed }, select: { arn: true } });
  // A key that was let go of, and whose tag somebody has put back: its generations are over.
  if (claimant === null) return (await hasHistory(services, claimed)) ? newId : claimed;
  const ofClaimant = { key_ref: claimed, arn: observed.arn };
  if ((await services.database.prisma.formerKey.findFirst({ where: ofClaimant })) !== null) return newId;
  const detail = `${observed.arn} carries the ownership tag of the managed key ${claimed}.`;
  throw new NotImportable('claimed', 'conflict', detail, { keyId: claimed });
}

/** The history of an id is that of one KMS key. @throws ProblemError conflict */
async function assertIdFree(services: Services, id: string, arn: string): Promise<void> {
  if (!(await hasHistory(services, id)) || (await lookUpKey(services, id)) !== undefined) return;
  if ((await lastEndOf(services, id)) === 'key.removed' || (await releasedArnOf(services, id)) === arn) return;
  throw conflict(`The id ${id} was that of another KMS key, which was released: ${arn} needs a new one.`);
}

/**
 * What a key declares that is imported as it is.
 * @param own which of its tags are its own, where a default tag of the provider says the same.
 * @throws NotImportable: what a key is can't be guessed.
 */
export function declaredByKms(
  { ownershipTagName }: Pick<Services, 'ownershipTagName'>,
  observed: ObservedKey,
  settings: ProviderSettings,
  own: Tags = {},
): DeclaredKey {
  const untold = immutableArguments.find((name) => observed[name] === null && nothingDeclared[name] !== null);
  if (untold !== undefined) throw notImportable('untold', `KMS does not tell the ${untold} of ${observed.arn}.`);
  return {
    ...imported(observed, ownTags(observed.tags, settings, ownershipTagName, own)),
    is_enabled: observed.enabled === true,
    drift_policy: settings.drift_policy,
  };
}
