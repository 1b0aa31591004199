/** What a KMS holds of a key, read with the SDK. */
import {
  DescribeKeyCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  type KMSClient,
  ListAliasesCommand,
  ListKeyRotationsCommand,
  ListKeysCommand,
  ListResourceTagsCommand,
} from '@aws-sdk/client-kms';

export async function metadata(kms: KMSClient, KeyId: string) {
  const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId }));
  if (KeyMetadata === undefined) throw new Error('DescribeKey answers without metadata');
  return KeyMetadata;
}

export async function policy(kms: KMSClient, KeyId: string): Promise<unknown> {
  const { Policy } = await kms.send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'default' }));
  return JSON.parse(Policy ?? 'null');
}

export async function tags(kms: KMSClient, KeyId: string): Promise<Record<string, string>> {
  const { Tags = [] } = await kms.send(new ListResourceTagsCommand({ KeyId }));
  return Object.fromEntries(Tags.map(({ TagKey, TagValue }) => [TagKey, TagValue]));
}

export async function rotation(kms: KMSClient, KeyId: string) {
  const status = await kms.send(new GetKeyRotationStatusCommand({ KeyId }));
  const enabled = status.KeyRotationEnabled ?? false;
  // What doesn't tell of a period rotates yearly, as KMS did before it had periods.
  return { enabled, period: enabled ? (status.RotationPeriodInDays ?? 365) : null };
}

/** The names that point at a key, in their order. */
export async function aliases(kms: KMSClient, KeyId: string): Promise<string[]> {
  const { Aliases = [] } = await kms.send(new ListAliasesCommand({ KeyId }));
  return Aliases.map(({ AliasName }) => AliasName ?? '').sort();
}

/** How often a key was rotated on demand; 0 for one that can't be. */
export async function onDemandRotations(kms: KMSClient, KeyId: string): Promise<number> {
  if ((await metadata(kms, KeyId)).KeySpec !== 'SYMMETRIC_DEFAULT') return 0;
  const { Rotations = [] } = await kms.send(new ListKeyRotationsCommand({ KeyId }));
  return Rotations.filter(({ RotationType }) => RotationType === 'ON_DEMAND').length;
}

export async function allKeyIds(kms: KMSClient): Promise<string[]> {
  const ids: string[] = [];
  for (let marker: string | undefined; ; ) {
    const page = await kms.send(
      new ListKeysCommand({ Limit: 1000, ...(marker === undefined ? {} : { Marker: marker }) }),
    );
    ids.push(...(page.Keys ?? []).map(({ KeyId }) => KeyId ?? ''));
    if (!page.Truncated) return ids;
    marker = page.NextMarker;
  }
}

/** A policy that the account's callers may change again. */
export const ownPolicyOf = (account: string, sid: string) => ({
  Version: '2012-10-17',
  Statement: [
    { Sid: sid, Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: 'kms:*', Resource: '*' },
  ],
});

/** The same for the account that the local KMS takes its callers to be of. */
export const ownPolicy = (sid: string) => ownPolicyOf('111122223333', sid);
