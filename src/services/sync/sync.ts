/** What a sync is made of. */
import type { UnknownWrite } from '../../domain/scope.ts';
import type { DesiredKey, ObservedKey, Step } from '../../domain/types.ts';
import type { InVain } from '../../domain/vain-writes.ts';
import type { Drift } from '../../schemas/key.ts';
import type { Services } from '../context.ts';
import type { Access } from '../providers/access.ts';
import type { KeyRow } from '../rows/key-row.ts';
import type { Work } from './lease.ts';
import type { Look } from './look.ts';
import type { SyncMode } from './mode.ts';
import type { Hindrance } from './retry.ts';

/**
 * The end of a sync. `next`: the row where more was asked meanwhile; null: the lease is given back. `look`: what the next round
 * goes by, where KMS is not to be asked again: another answer could be an older one.
 */
export type Ended = { next: KeyRow | null; look?: Look };

/** Before KMS is looked at: the key, and the way to it. */
export type Beginning = { services: Services; access: Access; work: Work };

/** What a sync knows of its key, and has done so far. */
export type Sync = Beginning & {
  mode: SyncMode;
  desired: DesiredKey;
  look: Look;
  /** Milliseconds after which an observation tells what became of writes of unknown outcome; 0: there are none. */
  unverified: number;
  /** Writes of unknown outcome that may be what differs. */
  unknown: UnknownWrite[];
  /** What somebody else changed. */
  found: Drift[];
  /** Those of the differences that were put right in vain. */
  vain: InVain[];
  /** What was written. */
  steps: Step[];
  /** The key after that; null: there is none yet. */
  reached: ObservedKey | null;
  /** Milliseconds in which what was read may be stale; 0: it is not. */
  settling: number;
  /** What has to be tried again beside the key itself. */
  hindrance: Hindrance | null;
};

/**
 * One thing that a sync has to see to. Each goes on with what it has come to know, or ends the sync.
 * @throws KmsFailure, CreationUnsettled where it has to be tried again or can't be done; LeaseLost.
 */
export type Duty<State> = (sync: State) => Promise<State | Ended>;

export function isEnded(result: object): result is Ended {
  return 'next' in result;
}
