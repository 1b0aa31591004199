/**
 * The shortest way for who waits: the transaction that records an intent also takes the key's lease and, where the plan is known,
 * writes the journal; the process that answers does the rest. That is so where nothing is to be waited for; else the key waits
 * for its turn like any other.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Transaction } from '../../database/client.ts';
import { plan } from '../../domain/planner.ts';
import type { Kms } from '../../kms/client.ts';
import type { CallerIdentity } from '../../kms/identity.ts';
import type { Services, Slot } from '../context.ts';
import type { Beginning, HeadStart } from '../keys/intents.ts';
import { accountFault } from '../providers/access.ts';
import type { NamedProvider } from '../providers/settings.ts';
import { type DeclaredKey, desiredBy } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { takeBackUnsent } from '../rows/lease.ts';
import { areTogether } from './clocks.ts';
import { syncTaken } from './engine.ts';
import { insertEntries } from './journal.ts';
import { type JournalEntry, Opened } from './journal-entry.ts';
import { Lease } from './lease.ts';
import { startStopwatch } from './stopwatch.ts';

/** How often, and after how many milliseconds each, it is tried to take back what was perhaps recorded. */
const takeBackAttempts = 20;
const takeBackPause = 500;

/** A key that is about to be recorded, and that no KMS can have yet. */
type NewKey = { id: string; provider: NamedProvider; declared: DeclaredKey };

/**
 * For a new key: its plan is known.
 * @returns null when something is to be waited for, or looked at, before the key can be made.
 */
export async function headStartOfCreate(services: Services, key: NewKey): Promise<HeadStart | null> {
  const { name, settings } = key.provider;
  const kms = services.clients.of(name, settings);
  const identity = await knownIdentity(kms);
  if (identity === undefined || accountFault(name, settings, identity) !== null) return null;
  const isTried = services.tagTrialOf(kms).isKept || services.failurePoints.isOff('tags-are-believed');
  const slot = isTried ? services.reserveSlot(name, key.id, kms.quotas) : null;
  if (slot === null) return null;
  const to = { account: identity?.account ?? null, endpoint: kms.endpointName };
  return new LeaseTaken(
    services,
    slot,
    key.id,
    async (token, transaction, { gap, now, settings: held, generation }) => {
      const isAsPrepared = gap === services.watch.gap && isDeepStrictEqual(held, settings);
      if (!isAsPrepared || !areTogether(services, kms, now)) return null;
      const steps = plan(desiredBy(key, key.declared, settings, services.ownershipTagName), null);
      return insertEntries(services, transaction, { id: key.id, generation, token }, { observed: null, steps, to });
    },
  );
}

/**
 * For a change of a key, whose plan is not known before KMS has been asked.
 * @returns null when the key is leased, or KMS is to make it: that waits for its turn (I12).
 */
export function headStartOfChange(services: Services, row: KeyRow): HeadStart | null {
  const { id, provider, key_id, lease_token } = row;
  const slot = lease_token === null && key_id !== null ? services.reserveSlot(provider, id, null) : null;
  return slot === null ? null : new LeaseTaken(services, slot, id, async () => []);
}

/** undefined: STS has not told yet. */
async function knownIdentity(kms: Kms): Promise<CallerIdentity | null | undefined> {
  const later = new Promise<undefined>((resolve) => setImmediate(resolve, undefined));
  return Promise.race([kms.identity().catch(() => undefined), later]);
}

/** Puts what is planned on record. @returns the entries; null: something is to be waited for by now. */
type OpenJournal = (token: string, transaction: Transaction, found: Beginning) => Promise<JournalEntry[] | null>;

class LeaseTaken implements HeadStart {
  readonly #services: Services;
  readonly #slot: Slot;
  readonly #keyId: string;
  readonly #open: OpenJournal;
  readonly #token = randomUUID();
  readonly #sinceTaken = startStopwatch();
  #begun: { entries: JournalEntry[]; gap: number } | null = null;

  constructor(services: Services, slot: Slot, keyId: string, open: OpenJournal) {
    this.#services = services;
    this.#keyId = keyId;
    this.#slot = slot;
    this.#open = open;
  }

  async begin(transaction: Transaction, found: Beginning): Promise<object | null> {
    const entries = await this.#open(this.#token, transaction, found);
    if (entries === null) return null;
    this.#begun = { entries, gap: found.gap };
    const until = new Date(found.now + this.#services.times.lease);
    const lease = { lease_token: this.#token, lease_until: until, due_at: until };
    return entries.length > 0 ? { ...lease, writes_open: true } : lease;
  }

  go(row: KeyRow): void {
    if (this.#begun === null || row.lease_token !== this.#token) {
      this.giveUp();
      return;
    }
    const { entries, gap } = this.#begun;
    // Nothing is open but what this sync is to send itself.
    const planned = entries.length > 0 ? { opened: new Opened(entries) } : {};
    const work = entries.length > 0 ? { ...row, writes_open: false } : row;
    this.#slot.run(async (services) => {
      const held = { keyId: row.id, token: this.#token, gap, dueBefore: null };
      const lease = new Lease(services.database, held, services.times, this.#sinceTaken);
      await syncTaken(services, { lease, row: work, ...planned });
    });
  }

  giveUp(): void {
    this.#slot.release();
    if (this.#begun !== null) void this.#takeBack();
  }

  /** The transaction may have been committed, though its answer was lost: what it put on record was surely not sent. */
  async #takeBack(): Promise<void> {
    for (let attempt = 1; attempt <= takeBackAttempts; attempt += 1) {
      try {
        await takeBackUnsent(this.#services.database, { id: this.#keyId, token: this.#token });
        return;
      } catch (error) {
        this.#services.log.debug({ err: error, key: this.#keyId }, 'could not take a head start back');
      }
      await delay(takeBackPause, undefined, { ref: false });
    }
  }
}
