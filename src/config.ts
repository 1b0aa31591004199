/** Reads the configuration, and what follows from it. The variables themselves are in variables.ts. */
import path from 'node:path';
import { Ajv } from 'ajv';
import type { Static, TSchema } from 'typebox';
import { isTokenForm } from './domain/api-token.ts';
import { type Variable, variables } from './variables.ts';

type Variables = typeof variables;

/** The configuration, by the names of the variables. */
export type Config = { readonly [Name in keyof Variables]: Static<Variables[Name]['schema']> };

/** A configuration that the service will not start with. The message is one line that names the variable. */
export class ConfigError extends Error {}

/**
 * Reads the configuration from the environment. An empty variable counts as unset.
 * @throws ConfigError naming the first variable that is wrong.
 */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const config = Object.fromEntries(
    Object.entries(variables).map(([name, definition]) => [name, readVariable(name, definition, environment[name])]),
  ) as Config;
  if (config.NODE_ENV === 'production') demandExplicitChoices(environment, config);
  checkAuthMode(environment, config);
  return config;
}

const secrets = new Set(['DATABASE_URL', 'KEYWARD_BOOTSTRAP_TOKEN']);

/** TypeBox's own would be three hundred more files to load at each start. The schemas are no input: they are right. */
const checker = new Ajv({ strict: false, validateSchema: false, meta: false });

function readVariable(name: string, definition: Variable<TSchema>, text: string | undefined): unknown {
  if (text === undefined || text === '') return definition.default;
  const value = definition.parse(text);
  if (checker.validate(definition.schema, value)) return value;
  // A connection string that is nearly right, and any other URL, may hold a password.
  const shown = secrets.has(name) || text.includes('@') ? 'its value' : JSON.stringify(text);
  throw new ConfigError(`${name}: ${shown} is not ${definition.expected}`);
}

/** In production nothing that only suits a laptop is chosen by default. */
function demandExplicitChoices(environment: NodeJS.ProcessEnv, config: Config): void {
  for (const name of ['FAILURE_POINTS', 'FAILURE_SWITCHES']) {
    if (environment[name]) throw new ConfigError(`${name}: must not be set in production: it is for tests of crashes`);
  }
  if (config.DATABASE_URL === null && !environment['DATA_DIR']) {
    throw new ConfigError('DATABASE_URL: must be set in production (or set DATA_DIR to ask for embedded Postgres)');
  }
  if (!environment['KMS_ENDPOINT']) {
    throw new ConfigError('KMS_ENDPOINT: must be set in production: aws, a URL, or local for the local KMS');
  }
  if (!environment['AUTH_MODE']) {
    throw new ConfigError('AUTH_MODE: must be set in production: none lets every caller do everything');
  }
}

/** Whoever reaches the port may do everything with none: beyond this machine it has to be asked for by name. */
function checkAuthMode(environment: NodeJS.ProcessEnv, config: Config): void {
  const { AUTH_MODE: modes, KEYWARD_BOOTSTRAP_TOKEN: token } = config;
  if (modes.includes('none') && modes.length > 1) throw new ConfigError('AUTH_MODE: none stands alone');
  if (!environment['AUTH_MODE'] && !isLoopback(config.HOST)) {
    throw new ConfigError(`AUTH_MODE: must be set with HOST ${config.HOST}: none lets every caller do everything`);
  }
  if (modes.includes('jwt')) checkIssuers(config);
  if (token !== null && !isTokenForm(token)) {
    throw new ConfigError('KEYWARD_BOOTSTRAP_TOKEN: its value is a token that was made here, with a wrong checksum');
  }
}

function checkIssuers({ JWT_ISSUERS: issuers, JWT_AUDIENCE: audience }: Config): void {
  if (issuers === null) throw new ConfigError('JWT_ISSUERS: must be set with AUTH_MODE jwt');
  if (audience === null) throw new ConfigError('JWT_AUDIENCE: must be set with AUTH_MODE jwt');
  for (const issuer of issuers) {
    const url = URL.parse(issuer);
    if (url?.protocol === 'https:' || (url !== null && isLoopback(url.hostname))) continue;
    throw new ConfigError(`JWT_ISSUERS: ${issuer} must be https: whoever is on the way could sign in as anybody`);
  }
}

/** Whether the service is for this machine alone, as on a laptop. */
export function isForThisMachine({ HOST: host, NODE_ENV: mode }: Config): boolean {
  return mode !== 'production' && isLoopback(host);
}

/** Whether only this machine reaches an address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Milliseconds for which the answers of a KMS that is AWS, or may be, can be older than a write; and of one that is known not to be. */
export function settleTimes({ SETTLE_SECONDS: seconds }: Config): { aws: number; others: number } {
  return { aws: (seconds ?? 120) * 1000, others: (seconds ?? 5) * 1000 };
}

/** Milliseconds until a right or a principal that is new is known everywhere: minutes at AWS. */
export function propagationTime({ PROPAGATION_SECONDS: seconds, KMS_ENDPOINT: endpoint }: Config): number {
  return (seconds ?? (endpoint === 'local' ? 5 : 120)) * 1000;
}

/** Seconds of silence of all processes that are a gap; 0: none are. The database and the KMS of a laptop live and die together. */
export function resumeGap({ RESUME_GAP_SECONDS: seconds, DATABASE_URL: url }: Config): number {
  return seconds ?? (url === null ? 0 : 600);
}

/** What holds for those who come by HTTP. */
export type Web = ReturnType<typeof webOf>;

export function webOf(config: Config) {
  return {
    corsOrigins: config.CORS_ORIGINS ?? [],
    names: config.AUTH_MODE.includes('none') ? namesOf(config) : null,
    trustedProxies: config.TRUSTED_PROXIES,
    publicUrl: config.PUBLIC_URL,
    limits: {
      reads: config.RATE_LIMIT_READS,
      writes: config.RATE_LIMIT_WRITES,
      waitingReads: config.MAX_READS_UNDER_WAY,
      waiting: config.MAX_WRITES_UNDER_WAY,
      failedSignIns: config.MAX_FAILED_SIGN_INS,
      eventLoopDelay: config.MAX_EVENT_LOOP_DELAY,
    },
  };
}

/** What the service may be called where it knows nobody; whoever opened it to others may have its scripts use any name. */
function namesOf({ HOST: host, CORS_ORIGINS: origins }: Config) {
  const known = [host, ...(origins ?? []).map((origin) => URL.parse(origin)?.hostname ?? '')];
  return { known, ofScripts: isLoopback(host) ? ('known' as const) : ('any' as const) };
}

/** How long history is kept, in days, and how many there are at most; null: for ever, and all. */
export type Retention = ReturnType<typeof retentionOf>;

export function retentionOf(config: Config) {
  const orEver = (value: number) => (value === 0 ? null : value);
  return {
    events: orEver(config.EVENT_RETENTION_DAYS),
    eventCount: orEver(config.EVENT_RETENTION_COUNT),
    revisions: orEver(config.REVISION_RETENTION_DAYS),
    revisionCount: orEver(config.REVISION_RETENTION_COUNT),
    journal: orEver(config.JOURNAL_RETENTION_DAYS),
    work: orEver(config.WORK_RETENTION_DAYS),
  };
}

/** The folder of one embedded part. */
export function dataFolder(config: Config, part: 'postgres' | 'kms'): string {
  return path.resolve(config.DATA_DIR, part === 'postgres' ? '.' : part);
}
