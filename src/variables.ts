/** Every environment variable: its schema, default and meaning, in one place. */
import { type Static, type TSchema, Type } from 'typebox';
import { endpointFault } from './domain/endpoint.ts';
import { longestRegion, regionPattern } from './domain/regions.ts';

/** One variable: `schema` describes the value after parsing; `parse` turns the text into it. */
export type Variable<Schema extends TSchema> = {
  schema: Schema;
  default: Static<Schema>;
  meaning: string;
  expected: string;
  parse: (text: string) => unknown;
};

const asIs = (text: string) => text;
const asNumber = (text: string) => (/^\d+$/.test(text) ? Number(text) : text);
const asFraction = (text: string) => (/^\d*\.?\d+$/.test(text) ? Number(text) : text);
/** @returns null: it is none. */
const asEndpoint = (text: string) => (text === 'local' || text === 'aws' || endpointFault(text) === null ? text : null);
/** @returns false: it is a URL that has more to it, or none. */
const asOrigin = (text: string) => {
  const url = URL.parse(text);
  return url !== null && url.href === `${url.origin}/` ? url.origin : false;
};
const asBoolean = (text: string) => (text === 'true' ? true : text === 'false' ? false : text);

function variable<Schema extends TSchema>(
  schema: Schema,
  standard: Static<Schema>,
  expected: string,
  meaning: string,
  parse: (text: string) => unknown = asIs,
): Variable<Schema> {
  return { schema, default: standard, meaning, expected, parse };
}

function oneOf<const Values extends readonly string[]>(values: Values, standard: Values[number], meaning: string) {
  return variable(Type.Enum([...values] as Values[number][]), standard, `one of ${values.join(', ')}`, meaning);
}

function perMinute(standard: number, meaning: string) {
  return variable(Type.Integer({ minimum: 0, maximum: 1_000_000_000 }), standard, 'a number', meaning, asNumber);
}

function retentionDays(standard: number, meaning: string) {
  const days = Type.Union([Type.Literal(0), Type.Integer({ minimum: 2, maximum: 36_500 })]);
  return variable(days, standard, '0, or days, 2 to 36500', meaning, asNumber);
}

/** How callers may be known. */
export const authModes = ['none', 'tokens', 'jwt'] as const;
export type AuthMode = (typeof authModes)[number];

const asList = (text: string) => text.split(',').map((item) => item.trim());

const portNumber = Type.Integer({ minimum: 0, maximum: 65535 });
const tagNamePattern = '^(?![aA][wW][sS]:)[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]{1,128}$';

/** Safeguards that a test can leave out, to see that it would notice. */
export const failureSwitches = [
  'no-ownership-search',
  'no-search-before-create',
  'no-hold',
  'no-fencing',
  'no-clock-check',
  'refusal-deletes-unproven',
  'any-answer-proves',
  'denials-are-final',
  'states-are-guessed',
  'one-not-found-is-final',
  'no-effect-check',
  'no-standstill-bound',
  'no-going-back',
  'tags-are-believed',
] as const;

/** The variables, in the order of the documentation. */
export const variables = {
  HOST: variable(Type.String({ minLength: 1 }), '127.0.0.1', 'a host name or address', 'where to listen'),
  PORT: variable(portNumber, 3000, 'a port, 0 to 65535', 'where to listen; 0 picks a free port', asNumber),
  DATABASE_URL: variable(
    Type.Union([Type.Null(), Type.String({ pattern: '^postgres(ql)?://' })]),
    null,
    'a URL that begins with postgresql://',
    'PostgreSQL connection string; unset: embedded Postgres under DATA_DIR',
  ),
  DATA_DIR: variable(Type.String({ minLength: 1 }), '.data', 'a folder', 'where the embedded parts keep their data'),
  KMS_ENDPOINT: variable(
    Type.String(),
    'local',
    'local, aws, or a URL without credentials',
    'local: the built-in local KMS; aws: AWS; a URL: any KMS-compatible endpoint',
    asEndpoint,
  ),
  ALLOWED_KMS_ENDPOINTS: variable(
    Type.Union([
      Type.Null(),
      Type.Array(Type.String({ pattern: '^(https?://)?[A-Za-z0-9.*:\\[\\]-]+$' }), { minItems: 1 }),
    ]),
    null,
    'hosts, separated by commas, with a port or without, http:// before those without TLS; * stands for one label',
    "hosts that a provider's endpoint may name, beside that of KMS_ENDPOINT; unset: AWS's KMS, and on a laptop any loopback address",
    asList,
  ),
  LOCAL_KMS_PORT: variable(
    Type.Union([Type.Null(), portNumber]),
    null,
    'a port, 0 to 65535',
    'port of the built-in local KMS; unset: 3001, or a free port where that is taken',
    asNumber,
  ),
  AWS_REGION: variable(
    Type.String({ maxLength: longestRegion, pattern: regionPattern }),
    'us-east-1',
    'a Region, such as eu-west-1',
    'Region of the default provider; taken at the first start',
  ),
  OWNERSHIP_TAG: variable(
    Type.String({ pattern: tagNamePattern }),
    'keyward:id',
    'a tag name that KMS accepts',
    "name of the tag that marks a KMS key as Keyward's",
  ),
  OWNERSHIP_SEARCH: oneOf(
    ['listing', 'tagging'],
    'listing',
    'how a key is found after a CreateKey without an answer: by listing keys, or by the Resource Groups Tagging API',
  ),
  WRITE_DEADLINE_SECONDS: variable(
    // Signatures tell whole seconds: with less, what is left of one in a slow second would not do for a call.
    Type.Integer({ minimum: 6, maximum: 240 }),
    30,
    'seconds, 6 to 240',
    'time from the recording of a KMS write until it can no longer take effect; a third of it is for sending',
    asNumber,
  ),
  SETTLE_SECONDS: variable(
    Type.Union([Type.Null(), Type.Integer({ minimum: 0, maximum: 3600 })]),
    null,
    'seconds, 0 to 3600',
    "how long KMS's answers may be older than a write, where a provider's quotas don't say; unset: 120, and 5 with the built-in local KMS and at other KMS with quotas none",
    asNumber,
  ),
  PROPAGATION_SECONDS: variable(
    Type.Union([Type.Null(), Type.Integer({ minimum: 0, maximum: 3600 })]),
    null,
    'seconds, 0 to 3600',
    'how long a call that KMS denies, or whose principal it does not know, is tried again before the change is taken back; unset: 120, and 5 with the built-in local KMS',
    asNumber,
  ),
  REFRESH_INTERVAL_SECONDS: variable(
    Type.Integer({ minimum: 1, maximum: 604_800 }),
    600,
    'seconds, 1 to 604800',
    'how often each key of the default provider is observed, give or take a tenth; taken at the first start',
    asNumber,
  ),
  LEASE_SECONDS: variable(
    Type.Integer({ minimum: 2, maximum: 300 }),
    15,
    'seconds, 2 to 300',
    'how long a worker that is silent keeps a key before another takes it over',
    asNumber,
  ),
  ROLE: oneOf(['all', 'api', 'worker'], 'all', 'what this process does: answer HTTP, sync keys, or both'),
  RESUME_GAP_SECONDS: variable(
    Type.Union([Type.Null(), Type.Integer({ minimum: 0, maximum: 31_536_000 })]),
    null,
    'seconds, 0 to 31536000',
    'a silence of all processes after which the fleet is held; 0: none; unset: 600, and 0 with the embedded PostgreSQL',
    asNumber,
  ),
  WORKER_CONCURRENCY: variable(
    Type.Integer({ minimum: 1, maximum: 200 }),
    10,
    'a number, 1 to 200',
    'keys of a provider that one process syncs at once because somebody waits; half as many on schedule',
    asNumber,
  ),
  QUOTA_SHARE: variable(
    Type.Number({ minimum: 0.001, maximum: 1 }),
    0.5,
    'a number, 0.001 to 1',
    "which share of KMS's request quotas all processes together spend",
    asFraction,
  ),
  EVENT_RETENTION_DAYS: retentionDays(0, 'how long events are kept; 0: for ever'),
  EVENT_RETENTION_COUNT: variable(
    Type.Union([Type.Literal(0), Type.Integer({ minimum: 1000 })]),
    0,
    '0, or a number from 1000 on',
    'how many events are kept, the newest; 0: all',
    asNumber,
  ),
  REVISION_RETENTION_DAYS: retentionDays(0, 'how long revisions are kept; 0: for ever'),
  REVISION_RETENTION_COUNT: variable(
    Type.Integer({ minimum: 0, maximum: 1_000_000_000 }),
    1000,
    'a number',
    'how many revisions of each key are kept, the newest; 0: all',
    asNumber,
  ),
  JOURNAL_RETENTION_DAYS: retentionDays(90, 'how long the journal keeps settled KMS writes; 0: for ever'),
  WORK_RETENTION_DAYS: retentionDays(
    90,
    'how long imports that are over, settled on-demand rotations, and former keys that are gone from KMS, stay on record; 0: for ever',
  ),
  MIGRATE_ON_START: variable(Type.Boolean(), true, 'true or false', 'apply pending migrations at start', asBoolean),
  AUTH_MODE: variable(
    Type.Array(Type.Enum([...authModes]), { minItems: 1 }),
    ['none'],
    'none, or a list of tokens, jwt',
    'how callers are known; none: everyone may do everything, by default on a loopback address only',
    asList,
  ),
  KEYWARD_BOOTSTRAP_TOKEN: variable(
    Type.Union([Type.Null(), Type.String({ pattern: '^kwd_[A-Za-z0-9_-]{32,500}$' })]),
    null,
    'kwd_ and at least 32 letters, digits, _ or -',
    "a first admin's token, taken at start where there is no token yet; one that was taken before is not taken again",
  ),
  JWT_ISSUERS: variable(
    Type.Union([Type.Null(), Type.Array(Type.String({ pattern: '^https?://[^\\s@]+$' }), { minItems: 1 })]),
    null,
    'URLs, separated by commas',
    'OIDC issuers whose tokens are taken with jwt: https, or http on a loopback address',
    asList,
  ),
  JWT_AUDIENCE: variable(
    Type.Union([Type.Null(), Type.String({ minLength: 1 })]),
    null,
    'a text',
    'what a JWT must name as its audience',
  ),
  JWT_GROUPS_CLAIM: variable(
    Type.String({ minLength: 1 }),
    'groups',
    'a claim',
    'the claim of a JWT that lists groups',
  ),
  CORS_ORIGINS: variable(
    Type.Union([Type.Null(), Type.Array(Type.String({ pattern: '^https?://[^/\\s*]+$' }), { minItems: 1 })]),
    null,
    'origins such as https://portal.example.com, separated by commas',
    'origins whose pages browsers may let call',
    asList,
  ),
  TRUSTED_PROXIES: variable(
    Type.Union([Type.Null(), Type.Array(Type.String({ pattern: '^[0-9a-fA-F.:/]+$' }), { minItems: 1 })]),
    null,
    'addresses or ranges, separated by commas',
    'proxies whose X-Forwarded-For is believed, in events and limits by address, and whose X-Forwarded-Host and -Proto are where PUBLIC_URL is unset',
    asList,
  ),
  PUBLIC_URL: variable(
    Type.Union([Type.Null(), Type.String({ pattern: '^https?:' })]),
    null,
    'a URL without a path, such as https://keyward.example.com',
    'where callers reach the service: of the types of problems, and of the server in OpenAPI; unset: where each request says that it was sent',
    asOrigin,
  ),
  RATE_LIMIT_READS: perMinute(0, 'reads of one caller in a minute; 0: any'),
  RATE_LIMIT_WRITES: perMinute(600, 'writes of one caller in a minute; 0: any'),
  MAX_WRITES_UNDER_WAY: perMinute(100, 'writes of one caller that wait for their answer at once; 0: any'),
  MAX_READS_UNDER_WAY: perMinute(50, 'reads of one caller that wait for their answer at once; 0: any'),
  MAX_EVENT_LOOP_DELAY: variable(
    Type.Integer({ minimum: 0, maximum: 600_000 }),
    1000,
    'milliseconds',
    'how late the event loop may be, on average of five seconds, before requests are answered 503; 0: any',
    asNumber,
  ),
  MAX_FAILED_SIGN_INS: perMinute(600, 'failed sign-ins from one address in a minute; 0: any'),
  LOG_LEVEL: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], 'info', 'pino level'),
  FAILURE_POINTS: variable(
    Type.Union([Type.Null(), Type.String({ minLength: 1 })]),
    null,
    'a folder',
    'for tests of crashes only, refused in production: where it is written at which point this process kills or freezes itself',
  ),
  FAILURE_SWITCHES: variable(
    Type.Union([Type.Null(), Type.Array(Type.Enum([...failureSwitches]))]),
    null,
    'names of safeguards, separated by commas',
    'for tests of the tests only, refused in production: safeguards to leave out',
    (text) => text.split(','),
  ),
  NODE_ENV: variable(
    Type.String(),
    'development',
    'a word',
    'production: the embedded parts and AUTH_MODE=none must be asked for by name',
  ),
};
