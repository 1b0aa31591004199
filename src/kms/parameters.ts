/** The parameters of KMS's write operations, as they are sent: tags as a list, policies as JSON text. */
import type { CreateKeyParameters, PolicyDocument, Step, Tags } from '../domain/types.ts';

/**
 * What is sent with a step.
 * @param keyId of the key that it is for; CreateKey has none.
 */
export function parametersOf(step: Step, keyId: string): Record<string, unknown> {
  switch (step.operation) {
    case 'CreateKey':
      return creationInput(step.parameters);
    case 'PutKeyPolicy':
      return { KeyId: keyId, ...policyInput(step.parameters) };
    case 'TagResource':
      return { KeyId: keyId, Tags: toTagList(step.parameters.Tags) };
    default:
      return { KeyId: keyId, ...step.parameters };
  }
}

export function creationInput({ Policy, Tags: tags, ...rest }: CreateKeyParameters) {
  const policy = Policy === undefined ? {} : { Policy: JSON.stringify(Policy) };
  return { ...rest, Tags: toTagList(tags), ...policy };
}

export function policyInput(parameters: { Policy: PolicyDocument; BypassPolicyLockoutSafetyCheck: boolean }) {
  const { Policy, BypassPolicyLockoutSafetyCheck } = parameters;
  return { Policy: JSON.stringify(Policy), BypassPolicyLockoutSafetyCheck, PolicyName: 'default' };
}

/** In the order of their names, so that the same tags make the same call: PostgreSQL keeps them in an order of its own. */
export function toTagList(tags: Tags) {
  const inOrder = Object.entries(tags).sort(([first], [second]) => (first < second ? -1 : 1));
  return inOrder.map(([TagKey, TagValue]) => ({ TagKey, TagValue }));
}
