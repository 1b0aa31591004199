/** The permissions of the role that keys are managed with, out of the operations that Keyward calls. */
import { operationNames, readTable } from '../src/domain/operations.ts';

const lists = {
  ReadKeys: Object.keys(readTable).filter((name) => name !== 'ListKeys'),
  ChangeOwnKeys: operationNames.filter((name) => name !== 'CreateKey'),
};

/** The policy with its lists of actions as they should be. @throws when it has no place for one. */
export function withActions(policy: string): string {
  return Object.entries(lists).reduce((text, [sid, names]) => {
    const section = new RegExp(`("Sid": "${sid}",\\s+"Effect": "Allow",\\s+"Action": \\[\\n)[^\\]]*?(\\n\\s+\\])`);
    if (!section.test(text)) throw new Error(`The policy has no place for the actions of ${sid}`);
    const actions = names.sort().map((name) => `        "kms:${name}"`);
    return text.replace(section, (_all, start: string, end: string) => `${start}${actions.join(',\n')}${end}`);
  }, policy);
}
