/** Principals that are deleted: in policies that name them, IAM then shows their unique id. */
import { createHash } from 'node:crypto';
import type { Store } from './store.ts';

/**
 * Deletes a user or role, as far as policies show it.
 * @param arn of the user or role.
 * @returns its unique id, AIDA… for a user and AROA… for a role.
 */
export function deletePrincipal(store: Store, arn: string): string {
  const digits = createHash('sha256').update(arn).digest('hex').toUpperCase().slice(0, 17);
  const uniqueId = `${arn.includes(':role/') ? 'AROA' : 'AIDA'}${digits}`;
  store.transaction(() => {
    for (const key of store.keysWithPolicyText(`"${arn}"`)) {
      store.saveKey({ ...key, policy: key.policy.replaceAll(`"${arn}"`, `"${uniqueId}"`) });
    }
  });
  return uniqueId;
}
