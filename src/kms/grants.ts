/** The grants of a key. Their tokens are only in CreateGrant's answer, and Keyward makes no grant. */
import { type GrantListEntry, ListGrantsCommand } from '@aws-sdk/client-kms';
import type { Kms } from './client.ts';
import { call, endingList, type KmsFailure, nextMarker, unusableAnswer } from './errors.ts';
import { unlessHidden } from './observe.ts';

/** As KMS lists it; null: it does not tell, or there is none. */
export type Grant = {
  grant_id: string;
  name: string | null;
  grantee_principal: string | null;
  grantee_service_principal: string | null;
  retiring_principal: string | null;
  retiring_service_principal: string | null;
  issuing_account: string | null;
  operations: string[];
  constraints: {
    encryption_context_subset: Record<string, string> | null;
    encryption_context_equals: Record<string, string> | null;
    source_arn: string | null;
  } | null;
  /** RFC 3339 */
  creation_date: string | null;
};

export type GrantFilters = { grant_id?: string; grantee_principal?: string };

const largestPage = 100;

/**
 * One page of a key's grants, in KMS's order.
 * @param marker of the page; null: the first.
 * @throws KmsFailure
 */
export async function listGrants(
  kms: Kms,
  keyId: string,
  { limit, marker, grant_id, grantee_principal }: GrantFilters & { limit: number; marker: string | null },
) {
  const page = await call('ListGrants', () =>
    kms.reads.send(
      new ListGrantsCommand({
        KeyId: keyId,
        Limit: Math.min(limit, largestPage),
        ...(marker === null ? {} : { Marker: marker }),
        ...(grant_id === undefined ? {} : { GrantId: grant_id }),
        ...(grantee_principal === undefined ? {} : { GranteePrincipal: grantee_principal }),
      }),
    ),
  );
  if (page.Grants === undefined) throw unusableAnswer('ListGrants', 'Grants');
  return { grants: page.Grants.map(toGrant), next: nextMarker('ListGrants', page) };
}

function toGrant(entry: GrantListEntry): Grant {
  if (entry.GrantId === undefined) throw unusableAnswer('ListGrants', "a grant's GrantId");
  const { Constraints: given } = entry;
  return {
    grant_id: entry.GrantId,
    name: entry.Name ?? null,
    grantee_principal: entry.GranteePrincipal ?? null,
    grantee_service_principal: entry.GranteeServicePrincipal ?? null,
    retiring_principal: entry.RetiringPrincipal ?? null,
    retiring_service_principal: entry.RetiringServicePrincipal ?? null,
    issuing_account: entry.IssuingAccount ?? null,
    operations: entry.Operations ?? [],
    constraints:
      given === undefined
        ? null
        : {
            encryption_context_subset: given.EncryptionContextSubset ?? null,
            encryption_context_equals: given.EncryptionContextEquals ?? null,
            source_arn: given.SourceArn ?? null,
          },
    creation_date: entry.CreationDate?.toISOString() ?? null,
  };
}

/** Why KMS does not list a grant to Keyward, or not now: it can be ended all the same. */
const untold: KmsFailure['kind'][] = ['not_found', 'denied', 'refused', 'conflict', 'unsupported'];

/** A grant; null: KMS does not list it, or not to Keyward. @throws KmsFailure */
export async function findGrant(kms: Kms, keyId: string, grantId: string): Promise<Grant | null> {
  const ends = endingList('ListGrants');
  for (let marker: string | null = null; ; ) {
    const page = { limit: largestPage, marker, grant_id: grantId };
    const listed = await unlessHidden(() => listGrants(kms, keyId, page), untold);
    // Not every KMS heeds the filter.
    const found = listed?.grants.find(({ grant_id }) => grant_id === grantId);
    if (found !== undefined) return found;
    marker = ends(listed?.next ?? null);
    if (marker === null) return null;
  }
}
