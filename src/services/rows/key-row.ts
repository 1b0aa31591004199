/**
 * A key's two rows, read as one: `keys` has what was declared and seen, `work` what is to be done. This room is the only one that
 * writes them, and that knows what they mean.
 */
import type { Key, Work } from '../../database/client.ts';
import type { Lifecycle } from '../../domain/values.ts';
import type { keyStates } from '../../schemas/key.ts';

/** Where the record stands: docs/state.md draws how one comes to another. */
export type RecordState = (typeof keyStates)[number];

/**
 * What is the matter with a replacement of the KMS key; null: none is asked for.
 * - replace_asked: the old key is to be deleted once KMS holds the new one.
 * - recreate_asked: the old key is lost.
 * - begun: the record has let go of the old key, and KMS does not hold the new one yet.
 */
export type Replacement = 'replace_asked' | 'recreate_asked' | 'begun';

type Typed = {
  state: RecordState;
  lifecycle: Lifecycle;
  drift_policy: 'enforce' | 'report' | 'adopt';
  replacement: Replacement | null;
};

export type KeyRow = Omit<Key, keyof Typed> & Typed & Omit<Work, 'key_ref' | 'provider'>;
