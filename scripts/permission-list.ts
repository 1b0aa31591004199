/** The permissions of the role that keys are managed with, out of the operations that Keyward calls. */
import { isOfAccount, operationNames, type ReadName, readTable } from '../src/domain/operations.ts';

const reads = Object.keys(readTable) as ReadName[];
const lists: Record<string, string[]> = {
  ListKeys: reads.filter(isOfAccount),
  ReadKeys: reads.filter((name) => !isOfAccount(name)),
  ChangeOwnKeys: operationNames.filter((name) => name !== 'CreateKey'),
};

/** A list of more is written one a line. */
const mostInLine = 2;

/** The policy with its lists of actions as they should be. @throws when it has no place for one. */
export function withActions(policy: string): string {
  return Object.entries(lists).reduce((text, [sid, names]) => {
    const section = new RegExp(`("Sid": "${sid}",\\s+"Effect": "Allow",\\s+"Action": \\[)[^\\]]*\\]`);
    if (!section.test(text)) throw new Error(`The policy has no place for the actions of ${sid}`);
    const actions = names.sort().map((name) => `"kms:${name}"`);
    const list = actions.length > mostInLine ? `\n        ${actions.join(',\n        ')}\n      ` : actions.join(', ');
    return text.replace(section, (_all, start: string) => `${start}${list}]`);
  }, policy);
}
