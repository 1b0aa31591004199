/** Lets go of many keys. */
import { assertMayTouch } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { type Command, releaseKey } from './declare.ts';
import { eachOf, partsOf } from './many.ts';

/** What became of one. `error`: why it could not be let go of. */
export type Released = { id: string; pending: boolean; error?: unknown };

/**
 * Lets go of each of the keys and leaves it in KMS.
 * @param ids any texts; one that is there twice counts once.
 */
export function releaseKeys(services: Services, ids: readonly string[], command: Command): Promise<Released[]> {
  const partOf = partsOf(command);
  return eachOf([...new Set(ids)], async (id) => {
    try {
      await assertMayTouch(services, id, command.rights);
      return { id, pending: (await releaseKey(services, id, partOf(id))) !== null };
    } catch (error) {
      return { id, pending: false, error };
    }
  });
}
