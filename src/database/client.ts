/** The connection to PostgreSQL: Prisma, and the pool beneath it for the few statements that have to be quick. */
import { PrismaPg } from '@prisma/adapter-pg';
import { Client, type ClientBase, type ClientConfig, Pool } from 'pg';
import { PrismaClient } from '../generated/prisma/client.ts';
import { closeWhenReadOnly, closeWhenSilent, lively, longestSilence, noticeLostClients, readOnly } from './liveness.ts';

export type {
  AccessBinding,
  ApiToken,
  Errand,
  Event,
  FormerKey,
  Key,
  KmsWrite,
  PrismaClient,
  Provider as ProviderRow,
  Revision,
  Work,
} from '../generated/prisma/client.ts';
export { Prisma } from '../generated/prisma/client.ts';

export type Database = { prisma: PrismaClient; pool: Pool; close(): Promise<void> };

/** What a statement can run on: Prisma itself or one of its transactions. */
export type Transaction = Omit<PrismaClient, '$connect' | '$disconnect' | '$on' | '$transaction' | '$extends' | '$use'>;

/** Milliseconds for which one waits for a connection that others use: as long as one that is dead is still taken for alive. */
const longestQueue = longestSilence;
/** Milliseconds that a transaction may pause between two statements. */
const longestPause = 5000;

/** One that gives a server up sooner than the pool gives up a wait for a connection, which is the same setting there. */
class LivelyClient extends Client {
  constructor(config?: string | ClientConfig) {
    super(typeof config === 'string' ? config : { ...config, ...lively });
  }
}

/**
 * Opens the pool. Connections are made when first used.
 * @param onError told of connections that break while idle; the pool replaces them by itself.
 * @param check what is done on each new connection before anything else.
 */
export function openDatabase(
  connectionString: string,
  onError: (error: Error) => void,
  check: (client: ClientBase) => Promise<void>,
): Database {
  const pool = new Pool({
    ...lively,
    Client: LivelyClient,
    connectionTimeoutMillis: longestQueue,
    connectionString,
    max: 15,
    application_name: 'keyward',
    // A process that freezes in a transaction would hold its rows, and everybody who needs them, for as long.
    idle_in_transaction_session_timeout: longestPause,
    verify: (client, done) => {
      takesCommits(client)
        .then(() => client.query(noticeLostClients))
        .then(() => check(client))
        .then(() => done(), done);
    },
  });
  pool.on('error', onError);
  pool.on('connect', (client) => {
    closeWhenSilent(client as Client);
    closeWhenReadOnly(client as Client);
    // One that breaks between two statements of its borrower fails the next of them. Unheard, it would end the process.
    client.on('error', () => {});
  });
  const statementNames = new Map<string, string>();
  const prisma = new PrismaClient({
    adapter: new PrismaPg(pool, { statementNameGenerator: ({ sql }) => nameOfStatement(statementNames, sql) }),
    transactionOptions: { maxWait: longestQueue, timeout: 10_000 },
  });
  return {
    prisma,
    pool,
    close: async () => {
      await prisma.$disconnect();
      await pool.end();
    },
  };
}

/**
 * What is put on record before a call to KMS has to outlive a crash of PostgreSQL, whatever its configuration, its database or
 * its role says. A setting that waits for standbys too is left.
 * @throws where nothing can be put on record, as on a standby that an old name still leads to.
 */
async function takesCommits(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ read_only: string }>(
    `SELECT current_setting('transaction_read_only') AS read_only, CASE current_setting('synchronous_commit')
      WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END`,
  );
  if (rows[0]?.read_only !== 'on') return;
  throw Object.assign(new Error('PostgreSQL takes no writes on this connection'), { code: readOnly });
}

const mostPreparedStatements = 500;

/** A name, by which a connection prepares the statement once; none for the texts that vary without bound. */
function nameOfStatement(names: Map<string, string>, sql: string): string {
  const known = names.get(sql);
  if (known !== undefined) return known;
  if (names.size >= mostPreparedStatements) return '';
  const name = `keyward_${names.size + 1}`;
  names.set(sql, name);
  return name;
}

/** Whether an error says that the database can't be reached, as opposed to a statement that it refused. */
export function isDatabaseAway(error: unknown): boolean {
  const codes = errorCodes(error);
  // P1001, P1002, P1008, P1017: Prisma can't reach the server or lost it; P2024, P2028: no connection came free in time. The
  // words are the adapter's, for raw statements.
  // 57P01–57P03: the server is shutting down or starting up; 53300: it has no connection left;
  // 25P03: a transaction paused for too long; 25006: it takes no writes, as a standby; class 08: connection lost.
  return (
    codes.some((code) =>
      /^(P1001|P1002|P1008|P1017|P2024|P2028|57P0[123]|25P03|25006|53300|08...|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|DatabaseNotReachable|ConnectionClosed|SocketTimeout|TooManyConnections)$/.test(
        code,
      ),
    ) ||
    /(timeout exceeded when trying to connect|Connection terminated|Query read timeout|not queryable)/i.test(
      String(error),
    )
  );
}

/** Whether an error says that others have used all connections for too long: nothing was done. */
export function isDatabaseBusy(error: unknown): boolean {
  return /timeout exceeded when trying to connect|Unable to start a transaction in the given time/.test(String(error));
}

/** Whether PostgreSQL ended a transaction because two waited for each other: it can be run again. */
export function isDeadlock(error: unknown): boolean {
  return errorCodes(error).some((code) => code === '40P01' || code === 'P2034' || code === 'TransactionWriteConflict');
}

/**
 * Whether two transactions have declared one alias at the same moment: the later one is ended. Claims wait for each other; those of the
 * version before, which locks by other names, do not.
 */
export function isAliasDeclaredTwice(error: unknown): boolean {
  return /declared_aliases_pkey/.test(String(error));
}

function errorCodes(error: unknown): string[] {
  const codes: string[] = [];
  for (let current: unknown = error; current !== null && typeof current === 'object'; ) {
    const { code, cause, originalCode, kind, meta } = current as Record<string, unknown>;
    for (const candidate of [code, originalCode, kind]) if (typeof candidate === 'string') codes.push(candidate);
    if (current instanceof AggregateError) codes.push(...current.errors.flatMap(errorCodes));
    current = cause ?? (meta as { driverAdapterError?: unknown } | undefined)?.driverAdapterError;
  }
  return codes;
}
