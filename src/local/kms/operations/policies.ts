/** GetKeyPolicy, PutKeyPolicy and ListKeyPolicies. */
import { emptyAnswer, type Operation } from '../context.ts';
import { notFound } from '../errors.ts';
import { findChangeableKey, findKey } from '../keys.ts';
import { pageOf } from '../pages.ts';
import { optionalBoolean, optionalString, type Parameters, requiredString } from '../parameters.ts';
import { acceptPolicy } from '../policy.ts';

/** The only policy that a key has. */
const policyName = 'default';

function assertKnown(parameters: Parameters): void {
  const name = optionalString(parameters, 'PolicyName', { min: 1, max: 128 }) ?? policyName;
  if (name !== policyName) throw notFound('No such policy exists');
}

const getKeyPolicy: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  assertKnown(parameters);
  return { Policy: key.policy, PolicyName: policyName };
};

const putKeyPolicy: Operation = (context, parameters) => {
  const policy = requiredString(parameters, 'Policy', { min: 1, max: 131_072 });
  const bypass = optionalBoolean(parameters, 'BypassPolicyLockoutSafetyCheck') ?? false;
  const key = findChangeableKey(context, parameters);
  assertKnown(parameters);
  context.store.saveKey({ ...key, policy: acceptPolicy(policy, context.caller, bypass) });
  return emptyAnswer;
};

const listKeyPolicies: Operation = (context, parameters) => {
  findKey(context, parameters);
  const { items, page } = pageOf(parameters, { standard: 100, most: 1000 }, [policyName]);
  return { PolicyNames: items, ...page };
};

export const policyOperations: Record<string, Operation> = {
  GetKeyPolicy: getKeyPolicy,
  PutKeyPolicy: putKeyPolicy,
  ListKeyPolicies: listKeyPolicies,
};
