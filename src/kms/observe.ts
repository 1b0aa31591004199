/** What KMS holds of one key, in the words of the domain. */
import {
  DescribeKeyCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  type KeyMetadata,
  ListAliasesCommand,
  ListResourceTagsCommand,
} from '@aws-sdk/client-kms';
import { mayRotate, rotationUntold } from '../domain/after-step.ts';
import { type AliasTargets, untoldKey } from '../domain/aliases.ts';
import type { DescribedFields } from '../domain/arguments.ts';
import type { KeySpec, KeyUsage } from '../domain/key-specs.ts';
import { enabledIn } from '../domain/key-state.ts';
import { depthOf, storableJson, storableText } from '../domain/text.ts';
import type { Json, KeyState, ObservedKey, PolicyDocument, Rotation, Tags } from '../domain/types.ts';
import type { Kms } from './client.ts';
import { call, endingList, KmsFailure, nextMarker, unusableAnswer, unusablePart } from './errors.ts';

/** A key as DescribeKey tells of it. null in a field that every key has: it did not tell. */
export type DescribedKey = DescribedFields & {
  /** AWS: the key belongs to an AWS service. */
  key_manager: 'AWS' | 'CUSTOMER';
  is_replica: boolean | null;
  created_at: Date | null;
};

/**
 * One DescribeKey call.
 * @param keyId key id, key ARN, alias name or alias ARN.
 * @throws KmsFailure, also when the answer is of another key than the one that was asked for.
 */
export async function describeKey(kms: Kms, keyId: string): Promise<DescribedKey> {
  const { KeyMetadata } = await call('DescribeKey', () => kms.reads.send(new DescribeKeyCommand({ KeyId: keyId })));
  const described = toDescribedKey('DescribeKey', KeyMetadata);
  const asked = keyId.includes('alias/') ? described.key_id : keyId.split(':key/').at(-1);
  if (asked !== described.key_id) throw unusablePart('DescribeKey', `for ${keyId} another key`, described.arn);
  return described;
}

/** @throws KmsFailure when the metadata lacks what every key has. */
export function toDescribedKey(operation: string, metadata: Partial<KeyMetadata> = {}): DescribedKey {
  const { Arn, KeyId, KeyState: state } = metadata;
  if (Arn === undefined || KeyId === undefined || state === undefined) {
    throw unusableAnswer(operation, "the key's Arn, KeyId and KeyState");
  }
  // The id tells as well: "you can use the mrk- prefix to identify multi-Region keys programmatically" (developer guide).
  const isMultiRegion = metadata.MultiRegion ?? KeyId.startsWith('mrk-');
  const type = metadata.MultiRegionConfiguration?.MultiRegionKeyType;
  return {
    arn: Arn,
    key_id: KeyId,
    key_state: state as KeyState,
    enabled: enabledIn(state as KeyState),
    origin: metadata.Origin ?? null,
    description: metadata.Description === undefined ? null : storableText(metadata.Description),
    key_usage: (metadata.KeyUsage ?? null) as KeyUsage | null,
    customer_master_key_spec: (metadata.KeySpec ?? metadata.CustomerMasterKeySpec ?? null) as KeySpec | null,
    custom_key_store_id: metadata.CustomKeyStoreId ?? null,
    xks_key_id: metadata.XksKeyConfiguration?.Id ?? null,
    multi_region: isMultiRegion,
    primary_arn: metadata.MultiRegionConfiguration?.PrimaryKey?.Arn ?? null,
    replica_arns: (metadata.MultiRegionConfiguration?.ReplicaKeys ?? []).flatMap(({ Arn: arn }) => arn ?? []).sort(),
    deletion_date: metadata.DeletionDate?.toISOString() ?? null,
    key_manager: metadata.KeyManager === 'AWS' ? 'AWS' : 'CUSTOMER',
    is_replica: isMultiRegion ? (type === undefined ? null : type === 'REPLICA') : false,
    created_at: metadata.CreationDate ?? null,
  };
}

/** `described`: what DescribeKey just told, where the caller has it. `aliases`: those that are declared; null: they are not managed. */
type Known = { described?: DescribedKey; aliases: readonly string[] | null };

/**
 * Observes a key with four reads, three where rotation does not apply or is that of another key; of one whose aliases are managed
 * with one more, and another for each that it lacks.
 * @throws KmsFailure
 */
export async function observeKey(kms: Kms, keyId: string, { described, aliases }: Known): Promise<ObservedKey> {
  const description = described ?? (await describeKey(kms, keyId));
  const { key_id } = description;
  const [policy, tags, rotation, targets] = await Promise.all([
    readPolicy(kms, key_id),
    readTags(kms, key_id),
    rotationOf(kms, description),
    aliases === null ? null : readAliases(kms, key_id, aliases),
  ]);
  return { ...knownOf(description), policy, tags, rotation, aliases: targets };
}

/** The key's aliases, and where those that are declared and are none of them point at; null where KMS does not tell. */
async function readAliases(kms: Kms, keyId: string, declared: readonly string[]): Promise<AliasTargets | null> {
  const own = await listAliases(kms, keyId);
  if (own === null) return null;
  const elsewhere = await targetsOf(
    kms,
    declared.filter((name) => !own.includes(name)),
  );
  return { ...elsewhere, ...Object.fromEntries(own.map((name) => [name, keyId])) };
}

/** Which keys aliases point at; those that KMS does not have are left out. @throws KmsFailure */
export async function targetsOf(kms: Kms, names: readonly string[]): Promise<AliasTargets> {
  const found = await Promise.all(names.map(async (name) => [name, await targetOf(kms, name)] as const));
  return Object.fromEntries(found.flatMap(([name, keyId]) => (keyId === null ? [] : [[name, keyId]])));
}

/** Which key an alias points at; null: there is no such alias. @throws KmsFailure */
export async function targetOf(kms: Kms, name: string): Promise<string | null> {
  const { isThere, described } = await describeAlias(kms, name);
  return isThere ? (described?.key_id ?? untoldKey) : null;
}

/** The key that an alias points at. `described` null of one that is there: KMS does not tell of it. @throws KmsFailure */
export async function describeAlias(
  kms: Kms,
  name: string,
): Promise<{ isThere: boolean; described: DescribedKey | null }> {
  try {
    return { isThere: true, described: await describeKey(kms, name) };
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    if (error.kind === 'not_found') return { isThere: false, described: null };
    if (error.kind === 'denied') return { isThere: true, described: null };
    throw error;
  }
}

/** The names of a key; null where KMS has no such operation. @throws KmsFailure */
async function listAliases(kms: Kms, keyId: string): Promise<string[] | null> {
  const names: string[] = [];
  const ends = endingList('ListAliases');
  let marker: string | undefined;
  do {
    const Marker = marker;
    const page = await call('ListAliases', () =>
      kms.reads.send(new ListAliasesCommand({ KeyId: keyId, ...(Marker === undefined ? {} : { Marker }) })),
    ).catch((error) => {
      if (error instanceof KmsFailure && error.kind === 'unsupported') return null;
      throw error;
    });
    if (page === null) return null;
    if (page.Aliases === undefined) throw unusableAnswer('ListAliases', 'Aliases');
    for (const { AliasName, TargetKeyId } of page.Aliases) {
      if (AliasName === undefined) throw unusableAnswer('ListAliases', "an alias's AliasName");
      // One that tells of all keys, whatever it is asked.
      if (TargetKeyId === undefined || TargetKeyId === keyId) names.push(storableText(AliasName));
    }
    marker = ends(nextMarker('ListAliases', page)) ?? undefined;
  } while (marker !== undefined);
  return names;
}

async function rotationOf(kms: Kms, described: DescribedKey): Promise<Rotation | null> {
  if (!mayRotate(described)) return null;
  return described.is_replica ? rotationUntold : readRotation(kms, described.key_id);
}

/** What DescribeKey tells of a key that is looked at for its owner. */
export function knownOf(described: DescribedKey): DescribedFields {
  const { key_manager: _manager, is_replica: _replica, created_at: _created, ...known } = described;
  return known;
}

/** null where KMS does not tell. @throws KmsFailure */
export async function readPolicy(kms: Kms, keyId: string): Promise<PolicyDocument | null> {
  try {
    const { Policy } = await call('GetKeyPolicy', () =>
      kms.reads.send(new GetKeyPolicyCommand({ KeyId: keyId, PolicyName: 'default' })),
    );
    return Policy === undefined ? null : toPolicy(Policy);
  } catch (error) {
    if (error instanceof KmsFailure && error.kind === 'unsupported') return null;
    throw error;
  }
}

/** How deep a policy is taken to nest at most: IAM's have some six levels. */
const deepestPolicy = 100;

/** @throws KmsFailure when the text is no policy: nothing can be told of it, nor of the key. */
function toPolicy(text: string): PolicyDocument {
  const policy = parsed(text);
  const isDocument = policy !== null && typeof policy === 'object' && !Array.isArray(policy);
  if (!isDocument || depthOf(policy, deepestPolicy) > deepestPolicy) {
    throw unusablePart('GetKeyPolicy', 'a policy that is no JSON object', text);
  }
  return storableJson(policy) as PolicyDocument;
}

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/** null where rotation does not apply to the key. @throws KmsFailure */
export async function readRotation(kms: Kms, keyId: string): Promise<Rotation | null> {
  try {
    const status = await call('GetKeyRotationStatus', () =>
      kms.reads.send(new GetKeyRotationStatusCommand({ KeyId: keyId })),
    );
    const enabled = status.KeyRotationEnabled ?? null;
    return { enabled, period_in_days: enabled ? (status.RotationPeriodInDays ?? null) : null };
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    if (error.code === 'UnsupportedOperationException') return null;
    // Not of a key in this state, or not by this KMS.
    if (error.kind === 'conflict' || error.kind === 'unsupported') return { enabled: null, period_in_days: null };
    throw error;
  }
}

/** All tags of a key. @throws KmsFailure */
export async function readTags(kms: Kms, keyId: string): Promise<Tags> {
  const tags: [string, string][] = [];
  const ends = endingList('ListResourceTags');
  let marker: string | undefined;
  do {
    const page = await call('ListResourceTags', () =>
      kms.reads.send(
        new ListResourceTagsCommand({ KeyId: keyId, ...(marker === undefined ? {} : { Marker: marker }) }),
      ),
    );
    if (page.Tags === undefined) throw unusableAnswer('ListResourceTags', 'Tags');
    for (const { TagKey, TagValue } of page.Tags) {
      if (TagKey === undefined || TagValue === undefined) {
        throw unusableAnswer('ListResourceTags', "a tag's TagKey and TagValue");
      }
      tags.push([storableText(TagKey), storableText(TagValue)]);
    }
    marker = ends(nextMarker('ListResourceTags', page)) ?? undefined;
  } while (marker !== undefined);
  // Not by assignment: a tag may be named __proto__.
  return Object.fromEntries(tags);
}

/**
 * A key may be gone by now, not be seen everywhere yet, or have a policy that shuts Keyward out: null.
 * @param kinds of failure for which that is so.
 */
export async function unlessHidden<Told>(
  ask: () => Promise<Told>,
  kinds: KmsFailure['kind'][] = ['not_found', 'denied', 'refused'],
): Promise<Told | null> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof KmsFailure && kinds.includes(error.kind)) return null;
    throw error;
  }
}
