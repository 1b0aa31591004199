/** A KMS write that is on record, before it is sent. */
import type { Step } from '../../domain/types.ts';

export type JournalEntry<Planned extends Step = Step> = {
  id: string;
  step: Planned;
  /** Milliseconds of its deadline that are over. */
  age: () => number;
  /** The number of the last gap that this process knew of. */
  gap: number;
  /** It puts drift right; undefined: it serves the generation at hand. */
  origin?: 'drift';
  /** Steps that are to follow with no wait in between: their turns in the request quotas are taken along with its own. */
  following?: Step[];
};

/** Entries that were put on record along with the intent, until they are taken up to be sent. */
export class Opened {
  #entries: JournalEntry[];

  constructor(entries: JournalEntry[]) {
    this.#entries = entries;
  }

  /** Those that nobody has taken yet. */
  take(): JournalEntry[] {
    return this.#entries.splice(0);
  }
}
