/** Opens everything the service needs, in order, and closes it in the opposite order. */
import type { FastifyBaseLogger } from 'fastify';
import type { ClientBase } from 'pg';
import {
  type Config,
  dataFolder,
  isForThisMachine,
  propagationTime,
  resumeGap,
  retentionOf,
  settleTimes,
  webOf,
} from '../config.ts';
import { type Database, openDatabase } from '../database/client.ts';
import { migrate, pendingMigrations } from '../database/migrate.ts';
import { listen, type Notifications } from '../database/notifications.ts';
import type { ProviderSettings } from '../domain/provider.ts';
import type { Kms } from '../kms/client.ts';
import { searchByListing, searchByTaggingApi } from '../kms/ownership.ts';
import { writeTimes } from '../kms/permit.ts';
import { Limiter } from '../kms/quotas.ts';
import { Directory } from './access/directory.ts';
import { openCallers } from './access/sign-in.ts';
import { takeBootstrapToken } from './access/tokens.ts';
import { openChangeFeed } from './changes.ts';
import { openClients } from './clients.ts';
import { type SetBack, shortenTimesToCome } from './clock-set-back.ts';
import type { Services, Times } from './context.ts';
import { type FailurePoints, openFailurePoints } from './failure-points.ts';
import { joinFleet } from './fleet.ts';
import { startHousekeeping } from './housekeeping.ts';
import { startImporting } from './imports/importer.ts';
import { createMetrics } from './metrics.ts';
import { ProviderRules } from './provider-rules.ts';
import { startBringingAlong } from './providers/bring-along.ts';
import { watchEndpoint } from './providers/endpoint.ts';
import { seedProvider } from './providers/seed.ts';
import { Pulse } from './pulse.ts';
import { GapWatch } from './recovery/watch.ts';
import { startWorker } from './sync/worker.ts';
import { TagTrial } from './tag-trial.ts';
import { Unmade } from './unmade.ts';

/** Milliseconds that keys which are being synced have to finish at a stop; what does not is taken over after the lease. */
const stopGrace = 10_000;
const usualLocalKmsPort = 3001;

export type Started = {
  services: Services;
  /** Where the built-in local KMS listens; null where another KMS is used. */
  localKmsUrl: string | null;
  /** Stops the worker: it finishes or gives back what it has begun. Requests that wait are answered. */
  stopWork(): Promise<void>;
  /** Closes the connections and stops the embedded parts. */
  close(): Promise<void>;
};

/**
 * Starts the services of one process.
 * @throws when a part does not start, with its reason; what had started is stopped again.
 */
export async function startServices(config: Config, log: FastifyBaseLogger): Promise<Started> {
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    return { ...(await open(config, log, (closer) => closers.push(closer))), close };
  } catch (error) {
    await close();
    throw error;
  }
}

type OnClose = (closer: () => Promise<void>) => void;

async function open(config: Config, log: FastifyBaseLogger, onClose: OnClose) {
  const postgres = await openPostgres(config, log, onClose);
  const { database, notifications, watch, failurePoints } = postgres;
  const changes = openChangeFeed(notifications);
  const unmade = knownUnmade(notifications);
  watch.onGap(() => unmade.clear());
  const { localKmsUrl, limiter, ...ofKms } = await openKms(config, postgres, log, onClose);
  await seedProvider(database, config, log);
  const callers = await openAccess(config, database, notifications, log);
  const services: Services = {
    database,
    notifications,
    callers,
    changes,
    ...ofKms,
    quotaShare: config.QUOTA_SHARE,
    ownershipTagName: config.OWNERSHIP_TAG,
    asksTagging: config.OWNERSHIP_SEARCH === 'tagging',
    ownershipSearchFor: ownershipSearches(config),
    tagTrialOf: perKms(() => new TagTrial()),
    unmade,
    watch,
    now: () => watch.now,
    retention: retentionOf(config),
    web: webOf(config),
    failurePoints,
    endpointFault: () => null,
    reserveSlot: () => null,
    pulse: config.ROLE === 'api' ? null : new Pulse(),
    log,
  };
  const work = startWork(config, services, postgres.databaseOfWorker);
  const stopWork = async () => {
    limiter.close();
    await work.stop();
    changes.close();
  };
  onClose(stopWork);
  return { services, localKmsUrl, stopWork };
}

async function openPostgres(config: Config, log: FastifyBaseLogger, onClose: OnClose) {
  const connectionString = config.DATABASE_URL ?? (await openEmbeddedPostgres(config, onClose));
  await bringToVersion(connectionString, config.MIGRATE_ON_START, log);
  const failurePoints = openFailurePoints(config);
  const watch = new GapWatch({ longestSilence: resumeGap(config), isOff: failurePoints.isOff('no-hold'), log });
  const openPool = () => {
    const onError = (error: Error) => log.warn({ err: error }, 'a database connection broke');
    const opened = openDatabase(connectionString, onError, (client) => watch.check(client));
    onClose(() => opened.close());
    return opened;
  };
  const database = openPool();
  // Requests that wait for a row, however many, leave the worker its connections, and the other way round.
  const databaseOfWorker = config.ROLE === 'all' ? openPool() : database;
  const notifications = await listen(connectionString, {
    isWorker: config.ROLE !== 'api',
    onError: (error) => log.warn({ err: error }, 'the connection that listens for notifications was lost'),
  });
  onClose(() => notifications.stop());
  notifications.onKeyChange(() => watch.lookSoon(databaseOfWorker.pool));
  return { database, databaseOfWorker, notifications, watch, failurePoints };
}

type Postgres = Awaited<ReturnType<typeof openPostgres>>;

/** The ways to KMS, and this process's part of its quotas, which it has as a member of the fleet. */
async function openKms(config: Config, postgres: Postgres, log: FastifyBaseLogger, onClose: OnClose) {
  const { database, databaseOfWorker, watch, failurePoints } = postgres;
  const isBuiltIn = config.KMS_ENDPOINT === 'local';
  const localKms = isBuiltIn ? await openLocalKms(config) : null;
  if (localKms !== null) onClose(() => localKms.close());
  const endpoint = localKms?.url ?? (config.KMS_ENDPOINT === 'aws' ? null : config.KMS_ENDPOINT);
  const limiter = new Limiter(config.QUOTA_SHARE);
  const takesLoopback = config.ALLOWED_KMS_ENDPOINTS === null && isForThisMachine(config);
  const hosts = { allowed: config.ALLOWED_KMS_ENDPOINTS, takesLoopback };
  const rules = new ProviderRules({ endpoint, isBuiltIn, hosts, settle: settleTimes(config) });
  const times = timesOf(config, rules, failurePoints);
  const onClockSetBack = async (client: Pick<ClientBase, 'query'>, setBack: SetBack) => {
    log.warn(
      { seconds: Math.round(setBack.by / 1000) },
      "PostgreSQL's clock was set back: times to come are shortened",
    );
    const { rows } = await client.query<Pick<ProviderSettings, 'endpoint' | 'quotas'>>(
      'SELECT endpoint, quotas FROM providers',
    );
    const settle = Math.max(times.settle, ...rows.map((settings) => rules.settling(settings)));
    const { lease, write } = times;
    await shortenTimesToCome(client, { lease, settle, landsWithin: write.landsWithin }, setBack);
  };
  const membership = await joinFleet(databaseOfWorker, { limiter, watch, onClockSetBack }, config.ROLE, log);
  onClose(() => membership.leave());
  const metrics = createMetrics(database, limiter);
  const expiringWrites = !failurePoints.isOff('no-fencing');
  const shared = { endpoint, onCall: metrics.kmsCall, times: times.write, expiringWrites };
  const clients = openClients(shared, limiter, rules);
  onClose(async () => clients.close());
  return { localKmsUrl: localKms?.url ?? null, limiter, rules, times, metrics, clients };
}

/** What this process does without being asked. */
function startWork(config: Config, services: Services, databaseOfWorker: Database): { stop(): Promise<void> } {
  const ofWorker: Services = Object.create(services, { database: { value: databaseOfWorker } });
  const worker = config.ROLE === 'api' ? null : startWorker(ofWorker, config.WORKER_CONCURRENCY);
  if (worker !== null) services.reserveSlot = worker.reserveSlot;
  const housekeeping = worker === null ? null : startHousekeeping(ofWorker);
  const importing = worker === null ? null : startImporting(ofWorker);
  const bringing = worker === null ? null : startBringingAlong(ofWorker);
  // AWS and the built-in KMS are known to speak it.
  const isForeign = config.KMS_ENDPOINT !== 'aws' && config.KMS_ENDPOINT !== 'local';
  const endpointWatch = isForeign ? watchEndpoint(services) : null;
  if (endpointWatch !== null) services.endpointFault = () => endpointWatch.fault;
  return {
    stop: async () => {
      await endpointWatch?.stop();
      await importing?.stop();
      await bringing?.stop();
      await housekeeping?.stop();
      await worker?.stop(stopGrace);
    },
  };
}

async function openAccess(config: Config, database: Database, notifications: Notifications, log: FastifyBaseLogger) {
  const { AUTH_MODE: modes, KEYWARD_BOOTSTRAP_TOKEN: token } = config;
  if (modes.includes('none'))
    log.warn({ host: config.HOST }, 'AUTH_MODE=none: whoever reaches the port may do everything');
  if (modes.includes('tokens') && token !== null) await takeBootstrapToken({ database }, token);
  const directory = new Directory(database);
  const callers = openCallers(modes, directory, await jwtOf(config, log));
  notifications.onAccessChange(callers.forget);
  return callers;
}

/** null: JWTs are not taken. */
async function jwtOf(config: Config, log: FastifyBaseLogger) {
  const { JWT_ISSUERS: issuers, JWT_AUDIENCE: audience, JWT_GROUPS_CLAIM: groupsClaim } = config;
  if (!config.AUTH_MODE.includes('jwt') || issuers === null || audience === null) return null;
  const rules = { issuers, audience, groupsClaim };
  // Loaded where it is asked for alone: no other set-up needs what reads JWTs.
  const { openVerifier } = await import('./access/issuer.ts');
  return { ...rules, verify: openVerifier(rules, log) };
}

/** What any process records as new is known to all that listen; whatever else becomes of a key ends that. */
function knownUnmade(notifications: Notifications): Unmade {
  const unmade = new Unmade();
  notifications.onNewKey((keyId) => unmade.add(keyId));
  notifications.onKeyChange((keyId) => (keyId === null ? unmade.clear() : unmade.forget(keyId)));
  return unmade;
}

/**
 * Milliseconds. Every call to KMS ends, with its repetitions, within a minute, and waits for quotas do not count: a sync that
 * has not got on for twice as long waits for something that nobody knows of.
 */
const longestStandstill = 120_000;

function timesOf(config: Config, rules: ProviderRules, failurePoints: FailurePoints): Times {
  return {
    lease: config.LEASE_SECONDS * 1000,
    standstill: failurePoints.isOff('no-standstill-bound') ? Number.POSITIVE_INFINITY : longestStandstill,
    write: writeTimes(config.WRITE_DEADLINE_SECONDS * 1000),
    settle: rules.settling({ endpoint: null, quotas: null }),
    propagation: propagationTime(config),
  };
}

/** One search for each account and Region, since a search may remember what it saw. */
function ownershipSearches(config: Config): Services['ownershipSearchFor'] {
  const { OWNERSHIP_SEARCH: way, OWNERSHIP_TAG: tagName } = config;
  const open = way === 'tagging' ? searchByTaggingApi : searchByListing;
  const usual = perKms((kms) => open(kms, tagName));
  return (kms, name = tagName) => (name === tagName ? usual(kms) : open(kms, name));
}

/** One for each account and Region at an endpoint, as long as a provider leads there. */
function perKms<Made>(make: (kms: Kms) => Made): (kms: Kms) => Made {
  const known = new WeakMap<Kms, { made: Made }>();
  return (kms) => {
    const { made } = known.get(kms) ?? { made: make(kms) };
    known.set(kms, { made });
    return made;
  };
}

async function bringToVersion(connectionString: string, mayMigrate: boolean, log: FastifyBaseLogger): Promise<void> {
  if (mayMigrate) {
    const applied = await migrate(connectionString);
    if (applied.length > 0) log.info({ applied }, 'applied migrations');
    return;
  }
  const pending = await pendingMigrations(connectionString);
  if (pending.length === 0) return;
  throw new Error(`MIGRATE_ON_START is false and the database lacks ${pending.join(', ')}: run npm run migrate first`);
}

async function openEmbeddedPostgres(config: Config, onClose: (closer: () => Promise<void>) => void): Promise<string> {
  const { startEmbeddedPostgres } = await import('../local/postgres.ts');
  const postgres = await startEmbeddedPostgres(dataFolder(config, 'postgres'));
  onClose(() => postgres.stop());
  return postgres.connectionString;
}

/** On its usual port, so that other tools find it there; on a free one where that is taken and none was asked for. */
async function openLocalKms(config: Config) {
  const { startLocalKms } = await import('../local/kms/index.ts');
  const dataDir = dataFolder(config, 'kms');
  if (config.LOCAL_KMS_PORT !== null) return startLocalKms({ dataDir, port: config.LOCAL_KMS_PORT });
  try {
    return await startLocalKms({ dataDir, port: usualLocalKmsPort });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return startLocalKms({ dataDir, port: 0 });
  }
}
