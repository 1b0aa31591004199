/**
 * What the processes tell each other of keys, by PostgreSQL's NOTIFY. Nothing depends on a notification: each is in the rows as
 * well, and only saves the time until somebody looks there.
 */
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { isUuid } from '../domain/uuid.ts';
import type { Transaction } from './client.ts';
import { closeWhenSilent, lively, longestSilence, noticeLostClients } from './liveness.ts';

const changesChannel = 'keyward_key_changes';
const wakeUpsChannel = 'keyward_wake_ups';
const accessChannel = 'keyward_access';
/** Before the id of a key that was just recorded for the first time. */
const newKey = 'new:';
/** Milliseconds between two signs of life of the connection that listens: a lost one is noticed soon after. */
const heartbeat = 5000;
/** Milliseconds until a lost connection is replaced; longer with every attempt that fails. */
const pauses = { first: 100, longest: 5000 };

/**
 * A key that somebody waits for. `creator`: who asked for it, where KMS is to make it; else KMS has it, or it is to be looked for.
 * `replica_of`: the record of its primary key, of a replica.
 */
export type WakeUp = { id: string; provider: string; creator?: string; replica_of?: string };

/** `isMine`: it is for this process to take the key up; others do when they see that it is due. */
type OnWakeUp = (wakeUp: WakeUp, isMine: boolean) => void;

/** What a wake-up needs to know of a key. */
export type WokenKey = {
  id: string;
  provider: string;
  key_id: string | null;
  replica_of: string | null;
  lifecycle: string;
};

export type Notifications = {
  /** Wakes the sync of a key, whose row says that it is due, when the transaction commits. @param creator who asks for it. */
  wake(transaction: Transaction, key: WokenKey, creator?: string): Promise<void>;
  /** Calls back with each key that somebody waits for. */
  onWakeUp(listener: OnWakeUp): void;
  /** Calls back with the id of each key whose status changed, and with null when some may have been missed. */
  onKeyChange(listener: (keyId: string | null) => void): void;
  /** Calls back when who may do what has changed, or may have. */
  onAccessChange(listener: () => void): void;
  /** Calls back with the id of each key that any process has recorded for the first time, while it listened. */
  onNewKey(listener: (keyId: string) => void): void;
  stop(): Promise<void>;
};

type Sent = WakeUp & { by: string; isWorker: boolean };

/** Whoever may connect may notify: null is said of what is no wake-up, or that of another version. */
function sentIn(payload: string): Sent | null {
  try {
    const { id, provider, creator, replica_of, by, isWorker } = JSON.parse(payload) as Partial<
      Record<keyof Sent, unknown>
    >;
    if (typeof id !== 'string' || !isUuid(id) || typeof provider !== 'string') return null;
    const made = typeof creator === 'string' ? { creator } : {};
    const replica = typeof replica_of === 'string' && isUuid(replica_of) ? { replica_of } : {};
    return { id, provider, ...made, ...replica, by: String(by), isWorker: isWorker === true };
  } catch {
    return null;
  }
}

/**
 * Starts to listen, on a connection of its own that is replaced whenever it is lost.
 * @param isWorker whether this process syncs keys: those of its own callers are for itself to take up, any worker's else.
 * @throws when there is no connection to begin with.
 */
export async function listen(
  connectionString: string,
  { isWorker, onError }: { isWorker: boolean; onError: (error: Error) => void },
): Promise<Notifications> {
  const me = randomUUID();
  const wakeUpListeners: OnWakeUp[] = [];
  const changeListeners: ((keyId: string | null) => void)[] = [];
  const newKeyListeners: ((keyId: string) => void)[] = [];
  const accessListeners: (() => void)[] = [];
  const connection = new ListeningConnection(
    connectionString,
    {
      [changesChannel]: (payload) => {
        if (payload.startsWith(newKey)) for (const tell of newKeyListeners) tell(payload.slice(newKey.length));
        else for (const tell of changeListeners) tell(payload);
      },
      [accessChannel]: () => {
        for (const tell of accessListeners) tell();
      },
      [wakeUpsChannel]: (payload) => {
        const sent = sentIn(payload);
        if (sent === null) return;
        const { by, isWorker: isForThem, ...wakeUp } = sent;
        for (const tell of wakeUpListeners) tell(wakeUp, by === me || !isForThem);
      },
    },
    {
      onError,
      onReturn: () => {
        for (const tell of changeListeners) tell(null);
        for (const tell of accessListeners) tell();
      },
    },
  );
  await connection.open();
  return {
    wake: async (transaction, key, creator = '') => {
      const { id, provider, key_id, lifecycle, replica_of } = key;
      const creates = key_id === null && lifecycle === 'managed';
      const replica = replica_of === null ? {} : { replica_of };
      const sent: Sent = { id, provider, ...(creates ? { creator, ...replica } : {}), by: me, isWorker };
      await transaction.$executeRaw`SELECT pg_notify(${wakeUpsChannel}, ${JSON.stringify(sent)})`;
    },
    onWakeUp: (listener) => wakeUpListeners.push(listener),
    onKeyChange: (listener) => changeListeners.push(listener),
    onAccessChange: (listener) => accessListeners.push(listener),
    onNewKey: (listener) => newKeyListeners.push(listener),
    stop: () => connection.close(),
  };
}

/** Tells every process, when the transaction commits, that a key is new: there can be none in KMS. */
export async function announceNewKey(transaction: Transaction, keyId: string): Promise<void> {
  await transaction.$executeRaw`SELECT pg_notify(${changesChannel}, ${newKey + keyId})`;
}

/** Tells every process, when the transaction commits, that who may do what has changed. */
export async function announceAccessChange(transaction: Transaction): Promise<void> {
  await transaction.$executeRaw`SELECT pg_notify(${accessChannel}, '')`;
}

/** Tells every process, when the transaction commits, that a key's status changed. */
export async function announceKeyChange(transaction: Transaction, keyId: string): Promise<void> {
  await transaction.$executeRaw`SELECT pg_notify(${changesChannel}, ${keyId})`;
}

type Events = { onError: (error: Error) => void; onReturn: () => void };

/** One connection that listens to some channels for as long as the process lives. */
class ListeningConnection {
  readonly #connectionString: string;
  readonly #channels: Record<string, (payload: string) => void>;
  readonly #events: Events;
  #client: Client | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(connectionString: string, channels: Record<string, (payload: string) => void>, events: Events) {
    this.#connectionString = connectionString;
    this.#channels = channels;
    this.#events = events;
  }

  async open(): Promise<void> {
    const client = new Client({
      ...lively,
      connectionString: this.#connectionString,
      application_name: 'keyward-listener',
      query_timeout: longestSilence,
    });
    client.on('notification', ({ channel, payload }) => this.#channels[channel]?.(payload ?? ''));
    // An error of a connection that is open is followed by its end.
    client.on('error', () => {});
    try {
      await client.connect();
      closeWhenSilent(client);
      await client.query(noticeLostClients);
      for (const channel of Object.keys(this.#channels)) await client.query(`LISTEN ${channel}`);
    } catch (error) {
      client.end().catch(() => {});
      throw error;
    }
    this.#client = client;
    client.once('end', () => this.#replace(client, new Error('PostgreSQL closed the connection that listens')));
    this.#beat(client);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#client?.end().catch(() => {});
  }

  #beat(client: Client): void {
    this.#timer = setTimeout(() => {
      client.query('SELECT 1').then(
        () => this.#client === client && !this.#isClosed && this.#beat(client),
        (error) => this.#replace(client, error),
      );
    }, heartbeat);
    this.#timer.unref();
  }

  #replace(lost: Client, error: Error): void {
    if (this.#client !== lost || this.#isClosed) return;
    this.#client = null;
    clearTimeout(this.#timer);
    this.#events.onError(error);
    lost.end().catch(() => {});
    this.#reopen(pauses.first);
  }

  #reopen(pause: number): void {
    this.#timer = setTimeout(async () => {
      try {
        await this.open();
        if (this.#isClosed) return await this.close();
        this.#events.onReturn();
      } catch (error) {
        this.#events.onError(error as Error);
        if (!this.#isClosed) this.#reopen(Math.min(2 * pause, pauses.longest));
      }
    }, pause);
  }
}
