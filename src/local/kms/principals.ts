/** Users and roles: their names, and their unique ids, which policies show once they are deleted. */
import { createHash } from 'node:crypto';
import type { Store } from './store.ts';

const roleArn = /^arn:aws[a-z-]*:iam::(\d{12}):role\/((?:[!-~]+\/)?([\w+=,.@-]{1,64}))$/;

/** The parts of a role's ARN; undefined: it is none. The name is without the path. */
export function parseRoleArn(arn: string): { account: string; name: string } | undefined {
  const [, account, , name] = roleArn.exec(arn) ?? [];
  return account === undefined || name === undefined ? undefined : { account, name };
}

/** AIDA… for a user and AROA… for a role. */
export function uniqueIdOf(arn: string): string {
  const digits = createHash('sha256').update(arn).digest('hex').toUpperCase().slice(0, 17);
  return `${arn.includes(':role/') ? 'AROA' : 'AIDA'}${digits}`;
}

/**
 * Deletes a user or role, as far as policies show it.
 * @param arn of the user or role.
 * @returns its unique id.
 */
export function deletePrincipal(store: Store, arn: string): string {
  const uniqueId = uniqueIdOf(arn);
  store.transaction(() => {
    for (const key of store.keysWithPolicyText(`"${arn}"`)) {
      store.saveKey({ ...key, policy: key.policy.replaceAll(`"${arn}"`, `"${uniqueId}"`) });
    }
  });
  return uniqueId;
}
