/** The permissions of the role that keys are managed with, out of the operations that Keyward writes with. */
import { operationNames } from '../src/domain/operations.ts';

const section = /("Sid": "ChangeOwnKeys",\s+"Effect": "Allow",\s+"Action": \[\n)[^\]]*?(\n\s+\])/;

/** The policy with its list of actions as it should be: a key is made by another statement. @throws when it has no place for one. */
export function withActions(policy: string): string {
  if (!section.test(policy)) throw new Error('The policy has no place for the actions');
  const actions = operationNames
    .filter((name) => name !== 'CreateKey')
    .sort()
    .map((name) => `        "kms:${name}"`);
  return policy.replace(section, (_all, start: string, end: string) => `${start}${actions.join(',\n')}${end}`);
}
