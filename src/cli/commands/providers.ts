/** keyward providers list, get, create, update, delete and check. */
import { text } from 'node:stream/consumers';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { collect, collectTag, readInput } from '../arguments.ts';
import { asksYes } from '../ask.ts';
import { act, type Context, given, group, leaf } from '../command.ts';
import { exitCodes, Failure, misuse } from '../errors.ts';
import { type Io, paint, visible } from '../io.ts';
import { positiveNumber, printList } from '../lists.ts';
import { type Column, printFields, printJson, printTable, say } from '../print.ts';
import { answerOf, dataOf, type Schemas, type Session } from '../session.ts';
import { inWords, tagsInWords } from '../text.ts';

type Provider = Schemas['Provider'];

const columns: Column<Provider>[] = [
  { title: 'NAME', of: ({ name }) => name, least: 8 },
  { title: 'REGION', of: ({ region }) => region },
  { title: 'DRIFT', of: ({ drift_policy }) => drift_policy },
  { title: 'ROLE', of: ({ assume_role }) => assume_role?.role_arn ?? '—', least: 8 },
  { title: 'DEFAULT TAGS', of: ({ default_tags }) => tagsInWords(default_tags), least: 12 },
  { title: 'ENDPOINT', of: ({ endpoint }) => endpoint ?? '—', least: 10, from: 110 },
];

const read = async (session: Session, name: string) => {
  const call = session.api.GET('/v1/providers/{name}', { params: { path: { name } } });
  const { data, response } = await answerOf(session, call);
  return { provider: data, etag: response.headers.get('etag') ?? '' };
};

function show(session: Session, provider: Provider): undefined {
  if (session.json) return printJson(session.io, provider);
  const fields = Object.entries(provider).filter(([name]) => name !== 'progress');
  printFields(
    session.io,
    fields.map(([name, value]) => [name, inWords(value)]),
  );
}

async function list(session: Session): Promise<undefined> {
  const page = (query: { limit: number; cursor?: string }) =>
    dataOf<Schemas['ProviderList']>(session, session.api.GET('/v1/providers', { params: { query } }));
  await printList(session, page, { columns, limit: undefined, none: 'There is no provider.' });
}

async function get(session: Session, _options: object, name: string): Promise<undefined> {
  show(session, (await read(session, name)).provider);
}

type Settings = {
  region?: string;
  endpoint?: string;
  roleArn?: string;
  sessionName?: string;
  externalIdFile?: string;
  allowedAccountId?: string[];
  defaultTag?: Record<string, string>;
  driftPolicy?: Provider['drift_policy'];
  refreshIntervalSeconds?: number;
  ignoreTag?: string[];
  ignoreTagPrefix?: string[];
};

/** A text that is no argument, for every process of the machine can see those. */
async function readSecret(io: Io, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  return (file === '-' ? await text(io.stdin) : await readInput(file)).trim();
}

async function settingsOf({ io }: Session, options: Settings) {
  const { region, endpoint, roleArn, sessionName, externalIdFile, defaultTag, ignoreTag, ignoreTagPrefix } = options;
  if (roleArn === undefined && (sessionName ?? externalIdFile) !== undefined) {
    throw misuse('--session-name and --external-id-file go with --role-arn.');
  }
  const ignored = given({ keys: ignoreTag, key_prefixes: ignoreTagPrefix });
  const externalId = await readSecret(io, externalIdFile);
  const ofRole = given({ session_name: sessionName, external_id: externalId });
  return given({
    region,
    endpoint,
    assume_role: roleArn === undefined ? undefined : { role_arn: roleArn, ...ofRole },
    allowed_account_ids: options.allowedAccountId,
    default_tags: defaultTag,
    drift_policy: options.driftPolicy,
    refresh_interval_seconds: options.refreshIntervalSeconds,
    ignore_tags: Object.keys(ignored).length === 0 ? undefined : ignored,
  });
}

async function create(session: Session, options: Settings & { region: string }, name: string): Promise<undefined> {
  const body = { ...(await settingsOf(session, options)), name, region: options.region };
  show(session, await dataOf(session, session.api.POST('/v1/providers', { body })));
}

async function update(session: Session, options: Settings, name: string): Promise<undefined> {
  const body = await settingsOf(session, options);
  if (Object.keys(body).length === 0) throw misuse('Nothing to change was given.');
  const { etag } = await read(session, name);
  const params = { path: { name }, header: { 'If-Match': etag } };
  show(session, await dataOf(session, session.api.PATCH('/v1/providers/{name}', { params, body })));
}

async function remove(session: Session, { yes = false }: { yes?: boolean }, name: string): Promise<undefined> {
  const { etag } = await read(session, name);
  if (!yes && !(await asksYes(session.io, `Delete provider ${visible(name)}?`)))
    throw new Failure('Nothing was changed.');
  const params = { path: { name }, header: { 'If-Match': etag } };
  await dataOf(session, session.api.DELETE('/v1/providers/{name}', { params }));
  say(session.io, `Deleted provider ${visible(name)}.`);
}

const checkColumns: Column<Schemas['PermissionCheck']>[] = [
  { title: 'ACTION', of: ({ action }) => action },
  { title: 'ALLOWED', of: ({ allowed }) => (allowed === null ? 'not known' : allowed ? 'yes' : 'no') },
];

async function check(session: Session, _options: object, name: string): Promise<number> {
  const { io, api } = session;
  const result = await dataOf(session, api.POST('/v1/providers/{name}/check', { params: { path: { name } } }));
  if (session.json) printJson(io, result);
  else {
    const verdict = result.ok
      ? paint(io.stdout, 'green', 'It can be used.')
      : paint(io.stdout, 'red', 'It can not be used.');
    io.stdout.write(`${verdict} ${visible(result.caller_arn ?? '')} in ${visible(result.region)}\n`);
    if (result.error !== null) io.stdout.write(`${visible(`${result.error.code}: ${result.error.message}`)}\n`);
    printTable(io, checkColumns, result.permissions);
  }
  return result.ok ? exitCodes.ok : exitCodes.failed;
}

const accountId = (text: string, before?: string[]): string[] => {
  if (!/^\d{12}$/.test(text)) throw new InvalidArgumentError('It is an account id: 12 digits.');
  return collect(text, before);
};

function addSettings(command: Command): Command {
  return command
    .option('--endpoint <url>', 'another KMS endpoint than that of the service')
    .option('--role-arn <arn>', 'the role to assume')
    .option('--external-id-file <file>', 'where the external id of the role stands; - is standard input')
    .option('--session-name <name>', 'its session; else keyward')
    .addOption(new Option('--allowed-account-id <id>', 'an account it may be; can be given again').argParser(accountId))
    .option('--default-tag <name=value>', 'a tag of all its keys; can be given again', collectTag)
    .option('--drift-policy <policy>', 'of new keys that do not say: enforce, report or adopt')
    .option('--refresh-interval-seconds <number>', 'how often each key is looked at', positiveNumber)
    .option('--ignore-tag <name>', 'a tag that is left to others; can be given again', collect)
    .option('--ignore-tag-prefix <text>', 'what such tags begin with; can be given again', collect);
}

function addWrites(context: Context, providers: Command): void {
  const creating = leaf(providers, 'create <name>', {
    summary: 'Add an account and Region',
    examples: ['keyward providers create frankfurt --region eu-central-1 --default-tag env=prod'],
  }).requiredOption('--region <region>', 'the AWS Region');
  act<Settings & { region: string }>(context, addSettings(creating), create);

  const updating = leaf(providers, 'update <name>', {
    summary: 'Change the settings of a provider',
    examples: ['keyward providers update frankfurt --drift-policy report'],
  }).option('--region <region>', 'the AWS Region; while it has no keys');
  act<Settings>(context, addSettings(updating), update);

  const deleting = leaf(providers, 'delete <name>', {
    summary: 'Delete a provider that has no keys',
    examples: ['keyward providers delete frankfurt --yes'],
  }).option('--yes', 'do not ask');
  act(context, deleting, remove);
}

export function addProviders(context: Context, program: Command): void {
  const providers = group(program, 'providers', 'Accounts and Regions');
  act(context, leaf(providers, 'list', { summary: 'List providers', examples: ['keyward providers list'] }), list);
  const getting = leaf(providers, 'get <name>', {
    summary: 'Show a provider',
    examples: ['keyward providers get default'],
  });
  act(context, getting, get);
  addWrites(context, providers);
  const checking = leaf(providers, 'check <name>', {
    summary: 'Try whether its credentials may do what Keyward needs',
    examples: ['keyward providers check default'],
  });
  act(context, checking, check);
}
