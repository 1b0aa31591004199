/** How many requests a second KMS takes, from all callers in an account and Region together. */
import { operationTable, readTable } from './operations.ts';

/** By operation, of those that Keyward does not call on its keys. */
const otherQuotas = {
  ConnectCustomKeyStore: 5,
  CreateAlias: 5,
  CreateCustomKeyStore: 5,
  CreateGrant: 50,
  DeleteAlias: 15,
  DeleteCustomKeyStore: 5,
  DescribeCustomKeyStores: 5,
  DisconnectCustomKeyStore: 5,
  GetKeyLastUsage: 5,
  GetPublicKey: 2000,
  GetResources: 15,
  ListGrants: 100,
  ListKeyPolicies: 100,
  ReplicateKey: 5,
  RevokeGrant: 50,
  UpdateAlias: 5,
  UpdateCustomKeyStore: 5,
  UpdatePrimaryRegion: 5,
};

const ofOwnCalls = Object.entries({ ...operationTable, ...readTable }).map(([name, { quota }]): [string, number] => [
  name,
  quota,
]);

/**
 * By operation, in the order of their names. Sources: AWS KMS developer guide, "Request quotas"; for GetResources, the Resource
 * Groups Tagging API's endpoints and quotas.
 */
export const standardQuotas: Readonly<Record<string, number>> = Object.fromEntries(
  [...Object.entries(otherQuotas), ...ofOwnCalls].sort(([first], [second]) => (first < second ? -1 : 1)),
);

/** Requests a second, by operation; what has none is not held back. */
export type Rates = Readonly<Record<string, number>>;

/** Which quotas calls are held to: these, none, or AWS's while the KMS itself says that it has them. */
export type QuotaRule = Rates | 'none' | 'as_told';

/** What a provider says of its quotas: AWS's, none, or its own; what it leaves out is by the endpoint. */
export type ProviderQuotas =
  | 'aws'
  | 'none'
  | { requests_per_second: Record<string, number>; settle_seconds: number | null };

/** @param quotas null: by the endpoint. */
export function quotaRuleOf(quotas: ProviderQuotas | null, isAws: boolean): QuotaRule {
  if (quotas === 'none') return 'none';
  if (quotas === 'aws') return standardQuotas;
  const rates = quotas?.requests_per_second ?? {};
  if (isAws) return { ...standardQuotas, ...rates };
  return Object.keys(rates).length > 0 ? rates : 'as_told';
}

/** What is asked of KMS to look at a key. */
export const readsOfKey = ['DescribeKey', 'GetKeyPolicy', 'ListResourceTags', 'GetKeyRotationStatus'] as const;

/**
 * Seconds that so many calls of each operation take by a share of its quota: each has its own, so that the slowest decides.
 * @param rates null: nothing is held back.
 */
export function secondsFor(calls: Readonly<Record<string, number>>, rates: Rates | null, share: number): number {
  const seconds = Object.entries(calls).map(([operation, count]) => {
    const rate = rates?.[operation];
    return rate === undefined ? 0 : count / (rate * share);
  });
  return Math.max(0, ...seconds);
}

/** The last time that RFC 3339 can write. */
const lastTime = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * The time that so many calls take by their quotas, from now on, however little those allow.
 * @param now milliseconds since the epoch. @returns as RFC 3339 writes it.
 */
export function timeAfter(now: number, seconds: number): string {
  const time = now + seconds * 1000;
  return new Date(time < lastTime ? time : lastTime).toISOString();
}
