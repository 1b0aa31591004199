/** Connections to PostgreSQL whose other end is gone without a word are closed here, so that whoever waits for them is told. */
import type { Client, PoolConfig } from 'pg';

/** Milliseconds after which a server that does not take a connection is given up. */
const connectTime = 10_000;
/** Milliseconds for which an answer of the server may let nothing come through: longer than any statement takes. */
export const longestSilence = 15_000;

/** For every connection: a lost one is noticed by the system in time too, where nobody waits for an answer. */
export const lively = {
  connectionTimeoutMillis: connectTime,
  keepAlive: true,
  keepAliveInitialDelayMillis: 10_000,
} satisfies PoolConfig;

/** Closes a connection on which nothing has come or gone for too long: its statement fails, and a pool opens another one. */
export function closeWhenSilent(client: Client): void {
  const stream = client.connection.stream;
  if (!('setTimeout' in stream) || typeof stream.setTimeout !== 'function') return;
  stream.setTimeout(longestSilence);
  stream.once('timeout', () => {
    const error = new Error(`PostgreSQL has been silent for ${longestSilence / 1000} seconds`);
    stream.destroy(Object.assign(error, { code: 'ETIMEDOUT' }));
  });
}

/** PostgreSQL's code for a write on a connection that takes none. */
export const readOnly = '25006';

/**
 * Closes a connection that turns out to take no writes: it leads to a server that has become a standby, or was opened while the
 * database took none, and would stay so for ever.
 */
export function closeWhenReadOnly(client: Client): void {
  client.connection.on('errorMessage', ({ code }: { code?: string }) => {
    if (code !== readOnly) return;
    const error = new Error('PostgreSQL takes no writes on this connection any more');
    client.connection.stream.destroy(Object.assign(error, { code: readOnly }));
  });
}

/** The server lets go of a connection in half a minute when this end is gone, with its locks and its place among the others. */
export const noticeLostClients =
  'SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4';
