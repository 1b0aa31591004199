/** Which of the operations that Keyward needs the credentials may call, by calls that change nothing. */
import { randomUUID } from 'node:crypto';
import { DescribeKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import { GetResourcesCommand } from '@aws-sdk/client-resource-groups-tagging-api';
import { isOfAccount, type OperationName, type ReadName } from '../domain/operations.ts';
import type { Kms } from './client.ts';
import { call, KmsFailure } from './errors.ts';
import { probesOfReads, probesOfWrites } from './operations.ts';

export type Permission = {
  /** Such as kms:CreateKey. */
  action: string;
  /** null: it can't be told. */
  allowed: boolean | null;
  /** What AWS answered, where that is no plain yes. */
  detail: string | null;
};

type Probe = {
  operation: OperationName | ReadName | 'GetResources';
  /** Whether a refusal holds for every key: a policy may allow an operation for keys with the ownership tag only. */
  isProof: boolean;
  send(client: KMSClient): Promise<unknown>;
};

/** @param knownKeyId of a key that is there, to read it; null: there is none. */
type Known = { knownKeyId: string | null; ownershipTagName: string; asksTagging: boolean };

/**
 * Asks AWS. Writes are for a key id that no key has, and are not sent to a KMS that has a key for every id; CreateKey asks for
 * what no KMS can make. None of them can have an effect, which is why they need no permit.
 * @throws KmsFailure when AWS can't be asked.
 */
export async function checkPermissions(
  kms: Kms,
  { knownKeyId, ownershipTagName, asksTagging }: Known,
): Promise<Permission[]> {
  const noKey = randomUUID();
  const found: Permission[] = [];
  // One after the other: some quotas are five calls a second.
  for (const probe of probesOfReads(knownKeyId ?? noKey)) {
    const isProof = knownKeyId !== null || isOfAccount(probe.operation);
    found.push(await judge(kms, { ...probe, isProof }));
  }
  const isSafe = await isUnknown(kms, noKey);
  for (const probe of probesOfWrites(noKey, { TagKey: ownershipTagName, TagValue: randomUUID() })) {
    const isProof = probe.operation === 'CreateKey';
    found.push(isSafe || isProof ? await judge(kms, { ...probe, isProof }) : leftOut(probe));
  }
  if (asksTagging) {
    const send = () =>
      kms.tagging.send(new GetResourcesCommand({ ResourceTypeFilters: ['kms:key'], ResourcesPerPage: 1 }));
    found.push(await judge(kms, { operation: 'GetResources', isProof: true, send }, 'tag:GetResources'));
  }
  return found;
}

/** Whether KMS has no key of this id, as far as it says. */
async function isUnknown(kms: Kms, KeyId: string): Promise<boolean> {
  try {
    await call('DescribeKey', () => kms.reads.send(new DescribeKeyCommand({ KeyId })));
    return false;
  } catch (error) {
    if (error instanceof KmsFailure) return error.kind === 'not_found' || error.kind === 'denied';
    throw error;
  }
}

function leftOut({ operation }: Pick<Probe, 'operation'>): Permission {
  const detail = 'Not asked: KMS does not say that it has no key of an id that no key has.';
  return { action: `kms:${operation}`, allowed: null, detail };
}

/** KMS may look at the form of a request before it looks at who asks. */
const ofForm = new Set(['SerializationException', 'ValidationError', 'ValidationException']);

async function judge(kms: Kms, { operation, isProof, send }: Probe, action = `kms:${operation}`): Promise<Permission> {
  try {
    await call(operation, () => send(kms.reads));
    return { action, allowed: true, detail: null };
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    const { code, kind, message } = error;
    const detail = `${code}: ${message}`;
    if (kind === 'credentials') throw error;
    if (kind === 'denied') return { action, allowed: isProof ? false : null, detail };
    // KMS looked at the request itself: the caller may make it.
    const isLookedAt = kind === 'not_found' || kind === 'conflict' || (kind === 'refused' && !ofForm.has(code));
    return isLookedAt ? { action, allowed: true, detail: null } : { action, allowed: null, detail };
  }
}
