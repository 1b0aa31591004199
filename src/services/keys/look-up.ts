/** Finds a key by whatever names it: the one home of that. */
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import { type AliasName, isKeyName, readAlias } from '../../domain/key-name.ts';
import { isUuid } from '../../domain/uuid.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { describeKey } from '../../kms/observe.ts';
import type { KeyLookup } from '../../schemas/key-list.ts';
import { mayKnowAllKeys } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { conflict, ProblemError, problemOf } from '../problems.ts';
import { accessTo, homeElsewhere } from '../providers/access.ts';
import { providersReadBy } from '../providers/settings.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { findRows } from '../rows/read.ts';
import { withinLimits } from '../visibility.ts';
import { aliasFilter } from './filters.ts';

/** More keys of one name than are told apart. */
const mostTold = 20;

/**
 * The key of that id, key id in KMS, ARN or alias, among those that the caller may see. Keyward's own id goes before a key id;
 * of an alias that no record tells of, KMS is asked.
 * @throws ProblemError malformed-request for what names no key; not-found; conflict where several keys have that name;
 * temporarily-unavailable and refused-by-kms where KMS does not tell.
 */
export async function findKeyByName(services: Services, query: KeyLookup, access: Access): Promise<KeyRow> {
  const alias = readAlias(query.key);
  return alias === null ? findByOwnName(services, query, access) : findByAlias(services, query, alias, access);
}

async function findByOwnName(services: Services, query: KeyLookup, access: Access): Promise<KeyRow> {
  const { key: name } = query;
  const ways = [
    ...(isUuid(name) ? [Prisma.sql`keys.id = ${name}::uuid`] : []),
    Prisma.sql`keys.key_id = ${name}`,
    Prisma.sql`keys.arn = ${name}`,
  ];
  const rows = await visibleRows(services, query, access, Prisma.join(ways, ' OR '));
  const own = rows.find(({ id }) => id === name.toLowerCase());
  if (own !== undefined) return own;
  if (rows.length === 0 && !isKeyName(name)) throw unknownForm(name);
  // A replica may have the id and the ARN of one that KMS has deleted.
  const there = rows.filter(({ state }) => state !== 'deleted');
  return theOnly(there.length > 0 ? there : rows, query);
}

async function findByAlias(services: Services, query: KeyLookup, alias: AliasName, access: Access): Promise<KeyRow> {
  const known = await rowsWithAlias(services, query, alias, access);
  if (known.length > 0) return theOnly(known, query);
  const arns = await arnsBehind(services, query, alias, access);
  const which = Prisma.sql`keys.state <> 'deleted' AND keys.arn = ANY(${arns}::text[])`;
  return theOnly(await visibleRows(services, query, access, which), query);
}

/** What is on record of an alias; of one provider, the key that declares it goes before one that was seen with it. */
async function rowsWithAlias(
  services: Services,
  query: KeyLookup,
  { name, home }: AliasName,
  access: Access,
): Promise<KeyRow[]> {
  const found = (await visibleRows(services, query, access, aliasFilter(name))).filter((row) => isAt(home, row));
  const declaring = found.filter(({ aliases }) => (aliases as string[] | null)?.includes(name));
  const others = found.filter(({ provider }) => !declaring.some((row) => row.provider === provider));
  return [...declaring, ...others];
}

/** Whether a key is in the account and Region of an alias; null: that may be any. */
function isAt(home: AliasName['home'], { arn }: KeyRow): boolean {
  if (home === null) return true;
  const [, , , region, account] = (arn ?? '').split(':');
  return region === home.region && account === home.account;
}

function visibleRows({ database }: Services, { provider }: KeyLookup, access: Access, which: Prisma.Sql) {
  const visible = withinLimits(access.limitsOf('keys:read'));
  const there = provider === undefined ? Prisma.sql`true` : Prisma.sql`keys.provider = ${provider}`;
  return findRows(database.prisma, Prisma.sql`WHERE ${visible} AND ${there} AND (${which}) LIMIT ${mostTold}`);
}

/**
 * The keys that an alias stands for, in each KMS where the caller may read keys.
 * @throws ProblemError where one of them does not tell: the alias may be there.
 */
async function arnsBehind(
  services: Services,
  { key, provider }: KeyLookup,
  { home }: AliasName,
  access: Access,
): Promise<string[]> {
  const candidates = await providersReadBy(services, access, {
    ...(provider === undefined ? {} : { name: provider }),
    ...(home === null ? {} : { region: home.region }),
  });
  const arns = await Promise.all(candidates.map((name) => arnBehind(services, name, key, mayKnowAllKeys(access))));
  return arns.filter((arn) => arn !== null);
}

/** What a failure says of the key, and not of the way to it: a caller whose rights are limited is told nothing by it. */
const ofTheKey = new Set<KmsFailure['kind']>(['not_found', 'denied', 'conflict', 'refused']);

async function arnBehind(services: Services, provider: string, key: string, tellsAll: boolean): Promise<string | null> {
  try {
    const { kms } = await accessTo(services, provider);
    if ((await homeElsewhere(kms, key)) !== null) return null;
    return (await describeKey(kms, key)).arn;
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    if (error.kind === 'not_found' || (!tellsAll && ofTheKey.has(error.kind))) return null;
    const { kind, code, message, operation } = error;
    const words = `provider ${provider} does not tell whether it has ${key}: ${message}`;
    throw problemOf(new KmsFailure(kind, code, words, operation, true), key);
  }
}

/** @throws ProblemError not-found, conflict */
function theOnly(rows: KeyRow[], { key, provider }: KeyLookup): KeyRow {
  const [first, second] = rows;
  if (first === undefined) {
    const where = provider === undefined ? '' : ` with provider ${JSON.stringify(provider)}`;
    throw new ProblemError('not-found', `There is no key ${JSON.stringify(key)}${where}.`);
  }
  if (second === undefined) return first;
  const each = rows.map(({ id, provider: of, arn }) => `${id} of provider ${of} (${arn ?? 'not made yet'})`).join(', ');
  throw conflict(`Several keys are ${JSON.stringify(key)}: ${each}. Name the provider, or ask by an id or ARN.`);
}

function unknownForm(name: string): ProblemError {
  const detail = `${JSON.stringify(name)} names no key: it may be an id (a UUID), a key id (a UUID or mrk-…), a key ARN, an alias (alias/…) or an alias ARN.`;
  const errors = [{ parameter: 'key', code: 'invalid_value' as const, detail }];
  return new ProblemError('malformed-request', `key: ${detail}`, { errors });
}
