/** Whether a caller may do something: what its own policies and those of the resource say together. Pure. */
import type { Caller } from './context.ts';
import type { Policy } from './identities.ts';
import { effectOf, naming, type Request, statementsOf } from './statements.ts';

/** Why not; the words are AWS's. null: it may. */
export type Refusal =
  | 'with an explicit deny in an identity-based policy'
  | 'with an explicit deny in a resource-based policy'
  | 'because no identity-based policy allows'
  | 'because no resource-based policy allows'
  | null;

export type Policies = {
  /** Of the caller; undefined: it may do everything that the resource lets its account do. */
  identity: Policy[] | undefined;
  /** Of the resource; undefined: it has none, and the identity's decide alone. */
  resource: Policy | undefined;
};

/**
 * A denial counts before every permission. Within an account, a resource that names the caller permits by itself, and one
 * that names the account leaves it to IAM; from another account both have to permit.
 * Source: IAM user guide, "Policy evaluation logic"; KMS developer guide, "Default key policy".
 */
export function refusalOf(caller: Caller, request: Request, policies: Policies, isOtherAccount = false): Refusal {
  const own = policies.identity === undefined ? 'Allow' : effectOf(policies.identity.flatMap(statementsOf), request);
  if (own === 'Deny') return 'with an explicit deny in an identity-based policy';
  if (policies.resource === undefined) return own === 'Allow' ? null : 'because no identity-based policy allows';
  const ofResource = statementsOf(policies.resource).map((statement) => ({ statement, by: naming(statement, caller) }));
  const effect = (kinds: readonly (string | null)[]) => {
    const named = ofResource.filter(({ by }) => by !== null && kinds.includes(by)).map(({ statement }) => statement);
    return effectOf(named, request);
  };
  const either = effect(['direct', 'account']);
  if (either === 'Deny') return 'with an explicit deny in a resource-based policy';
  if (either === null) return 'because no resource-based policy allows';
  if (own === 'Allow' || (!isOtherAccount && effect(['direct']) === 'Allow')) return null;
  return 'because no identity-based policy allows';
}
