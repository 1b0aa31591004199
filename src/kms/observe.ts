/** What KMS holds of one key, in the words of the domain. */
import {
  DescribeKeyCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  type KeyMetadata,
  ListResourceTagsCommand,
} from '@aws-sdk/client-kms';
import type { KeySpec, KeyUsage } from '../domain/key-specs.ts';
import type { KeyState, ObservedKey, PolicyDocument, Tags } from '../domain/types.ts';
import type { Kms } from './client.ts';
import { call, KmsFailure, nextMarker, unusableAnswer } from './errors.ts';

/** A key as DescribeKey tells of it. */
export type DescribedKey = Omit<ObservedKey, 'policy' | 'rotation' | 'tags'> & {
  /** AWS: the key belongs to an AWS service. */
  key_manager: 'AWS' | 'CUSTOMER';
  is_replica: boolean;
  created_at: Date;
};

/**
 * One DescribeKey call.
 * @param keyId key id, key ARN, alias name or alias ARN.
 * @throws KmsFailure
 */
export async function describeKey(kms: Kms, keyId: string): Promise<DescribedKey> {
  const { KeyMetadata } = await call('DescribeKey', () => kms.reads.send(new DescribeKeyCommand({ KeyId: keyId })));
  return toDescribedKey('DescribeKey', KeyMetadata);
}

/** @throws KmsFailure when the metadata lacks what every key has. */
export function toDescribedKey(operation: string, metadata: Partial<KeyMetadata> = {}): DescribedKey {
  const { Arn, KeyId, KeyState: state, CreationDate, Description, KeyUsage: usage } = metadata;
  const spec = metadata.KeySpec ?? metadata.CustomerMasterKeySpec;
  if (Arn === undefined || KeyId === undefined || state === undefined || CreationDate === undefined) {
    throw unusableAnswer(operation, "the key's Arn, KeyId, KeyState and CreationDate");
  }
  if (Description === undefined || usage === undefined || spec === undefined) {
    throw unusableAnswer(operation, "the key's Description, KeyUsage and KeySpec");
  }
  return {
    arn: Arn,
    key_id: KeyId,
    key_state: state as KeyState,
    origin: metadata.Origin ?? 'AWS_KMS',
    description: Description,
    key_usage: usage as KeyUsage,
    customer_master_key_spec: spec as KeySpec,
    custom_key_store_id: metadata.CustomKeyStoreId ?? null,
    xks_key_id: metadata.XksKeyConfiguration?.Id ?? null,
    multi_region: metadata.MultiRegion ?? false,
    deletion_date: metadata.DeletionDate?.toISOString() ?? null,
    key_manager: metadata.KeyManager === 'AWS' ? 'AWS' : 'CUSTOMER',
    is_replica: metadata.MultiRegionConfiguration?.MultiRegionKeyType === 'REPLICA',
    created_at: CreationDate,
  };
}

/**
 * Observes a key with four reads, three where rotation does not apply.
 * @param described what DescribeKey just told, where the caller has it.
 * @throws KmsFailure
 */
export async function observeKey(kms: Kms, keyId: string, described?: DescribedKey): Promise<ObservedKey> {
  const description = described ?? (await describeKey(kms, keyId));
  const [policy, tags, rotation] = await Promise.all([
    readPolicy(kms, description.key_id),
    readTags(kms, description.key_id),
    canRotate(description) && !description.is_replica ? readRotation(kms, description.key_id) : null,
  ]);
  const { key_manager: _manager, is_replica: _replica, created_at: _created, ...known } = description;
  return { ...known, policy, tags, rotation };
}

/** Automatic rotation is for symmetric encryption keys with key material from KMS itself. */
export function canRotate(key: Pick<ObservedKey, 'customer_master_key_spec' | 'origin'>): boolean {
  return key.customer_master_key_spec === 'SYMMETRIC_DEFAULT' && key.origin === 'AWS_KMS';
}

/** @throws KmsFailure */
export async function readPolicy(kms: Kms, keyId: string): Promise<PolicyDocument> {
  const { Policy } = await call('GetKeyPolicy', () =>
    kms.reads.send(new GetKeyPolicyCommand({ KeyId: keyId, PolicyName: 'default' })),
  );
  if (Policy === undefined) throw unusableAnswer('GetKeyPolicy', 'Policy');
  return JSON.parse(Policy) as PolicyDocument;
}

/** Days; KMS rotated yearly before it had periods to tell of, and what speaks its protocol may still not have them. */
const fixedRotationPeriod = 365;

/** null where KMS does not tell. @throws KmsFailure */
export async function readRotation(kms: Kms, keyId: string): Promise<ObservedKey['rotation']> {
  try {
    const status = await call('GetKeyRotationStatus', () =>
      kms.reads.send(new GetKeyRotationStatusCommand({ KeyId: keyId })),
    );
    const { KeyRotationEnabled: enabled } = status;
    if (enabled === undefined) throw unusableAnswer('GetKeyRotationStatus', 'KeyRotationEnabled');
    return { enabled, period_in_days: enabled ? (status.RotationPeriodInDays ?? fixedRotationPeriod) : null };
  } catch (error) {
    // A key pending deletion does not tell; it does not rotate either.
    if (error instanceof KmsFailure && (error.kind === 'conflict' || error.code === 'UnsupportedOperationException')) {
      return null;
    }
    throw error;
  }
}

/** All tags of a key. @throws KmsFailure */
export async function readTags(kms: Kms, keyId: string): Promise<Tags> {
  const tags: [string, string][] = [];
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
      tags.push([TagKey, TagValue]);
    }
    marker = nextMarker('ListResourceTags', page) ?? undefined;
  } while (marker !== undefined);
  // Not by assignment: a tag may be named __proto__.
  return Object.fromEntries(tags);
}

/** A key may be gone by now, not be seen everywhere yet, or have a policy that shuts Keyward out: null. */
export async function unlessHidden<Told>(ask: () => Promise<Told>): Promise<Told | null> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof KmsFailure && ['not_found', 'denied', 'refused'].includes(error.kind)) return null;
    throw error;
  }
}
