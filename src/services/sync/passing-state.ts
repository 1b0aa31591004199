/** States that a multi-Region key is in for seconds or minutes, in which KMS refuses what it takes a while later. */
import { KmsFailure } from '../../kms/errors.ts';
import { describeKey } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { lookUpKey } from '../keys/find.ts';
import { accessToKey } from '../providers/access.ts';
import { errorOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';

/** The code of the error of a key that waits for the end of such a state, or of any that KMS does not tell enough of. */
export const keyStateUntold = 'KeyStateUntold';

const passing = new Set<string | null>(['Creating', 'Updating']);

/**
 * Whether a call was refused for the state of the key, or of its primary key, that passes by itself. KMS is asked, since its words for
 * a refusal tell no state.
 * @returns what is waited for; `refused` itself where the state may just have passed; null: neither.
 */
export async function waitsForState(services: Services, row: KeyRow, refused: KmsFailure): Promise<KmsFailure | null> {
  if (refused.code !== 'KMSInvalidStateException') return null;
  const primary = row.replica_of === null ? undefined : await lookUpKey(services, row.replica_of);
  for (const key of primary === undefined ? [row] : [row, primary]) {
    const state = await stateOf(services, key);
    if (!passing.has(state)) continue;
    const message = `The key ${key.arn} is ${state}, and KMS refuses ${refused.operation} meanwhile; Keyward goes on when that is over`;
    return new KmsFailure('fault', keyStateUntold, message, refused.operation, true);
  }
  return errorOf(row)?.code === keyStateUntold ? refused : null;
}

/** null: KMS has no such key, or does not tell. */
async function stateOf(services: Services, { arn, key_id, provider }: KeyRow): Promise<string | null> {
  if (key_id === null) return null;
  try {
    const { kms } = await accessToKey(services, { arn, provider });
    return (await describeKey(kms, key_id)).key_state;
  } catch (error) {
    if (error instanceof KmsFailure) return null;
    throw error;
  }
}
