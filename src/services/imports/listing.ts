/** Finds the keys of an import: all keys of a provider, page by page; or the providers of keys that are named. */
import { randomUUID } from 'node:crypto';
import type { Rights } from '../../domain/access.ts';
import { partitionOf } from '../../domain/regions.ts';
import { endingList, KmsFailure } from '../../kms/errors.ts';
import { type ListedKey, listKeys } from '../../kms/inventory.ts';
import { Urgency, withUrgency } from '../../kms/urgency.ts';
import { mayKnowAllKeys } from '../access/keys.ts';
import { accessForImport } from '../commands/import.ts';
import { takenAmong } from '../commands/import-refusals.ts';
import type { Services } from '../context.ts';
import { ProblemError } from '../problems.ts';
import { accessTo, homeElsewhere } from '../providers/access.ts';
import { settingsOf } from '../providers/settings.ts';
import { fail, finish } from './ending.ts';
import { whileRenewed } from './renewal.ts';
import {
  type ImportRow,
  longestPause,
  postponeListing,
  recordListing,
  renewListing,
  takeListing,
} from './rows/imports.ts';
import { type Candidate, foundBefore, insertItems, placesOf, type Reason, recordProvider } from './rows/items.ts';

const largestPage = 1000;
/** How often it is tried, with longer and longer pauses: some minutes in all. */
export const mostAttempts = 10;

/** Seconds before something is tried again. */
export function pauseBefore(attempts: number): number {
  return Math.min(longestPause, 2 ** attempts);
}

/** Finds the keys of one import, if there is one whose keys are to be found. @returns whether there was. */
export async function findKeys(services: Services, isStopping: () => boolean): Promise<boolean> {
  const { pool } = services.database;
  const token = randomUUID();
  const { lease } = services.times;
  const row = await takeListing(pool, { token, milliseconds: lease, isHeld: services.watch.isHeld });
  if (row === null) return false;
  const renew = () => renewListing(pool, token, lease);
  await whileRenewed(lease, renew, async () => {
    try {
      const access = await services.callers.accessOf(row.subject);
      const work: Work = { row, token, rights: { access, permission: 'keys:import' }, isStopping };
      await withUrgency(new Urgency(false), () =>
        row.kind === 'all' ? findAllKeys(services, work) : findProviders(services, work),
      );
      await finish(services, row.id);
    } catch (error) {
      await giveUpFor(services, { row, token }, error);
    }
  });
  return true;
}

type Work = { row: ImportRow; token: string; rights: Rights; isStopping: () => boolean };

async function giveUpFor(
  services: Services,
  { row, token }: Pick<Work, 'row' | 'token'>,
  error: unknown,
): Promise<void> {
  const told = tell(error);
  if (told === null) throw error;
  const isStale = told.code === 'InvalidMarkerException';
  if ((told.isPassing || isStale) && row.attempts + 1 < mostAttempts) {
    services.log.info({ import: row.id, err: error }, 'the keys of an import could not be listed: it is tried again');
    const marker = isStale ? null : row.marker;
    const again = { id: row.id, token, error: { code: told.code, message: told.message }, marker };
    return postponeListing(services.database.pool, { ...again, seconds: pauseBefore(row.attempts) });
  }
  await fail(services, row.id, { code: told.code, message: told.message });
}

/** null: it is an error of Keyward or of the database. */
function tell(error: unknown): { code: string; message: string; isPassing: boolean } | null {
  if (error instanceof KmsFailure) {
    const { code, message, kind } = error;
    return { code, message, isPassing: kind === 'throttled' || kind === 'fault' || kind === 'credentials' };
  }
  if (!(error instanceof ProblemError)) return null;
  const message = error.errors?.[0]?.detail ?? error.message;
  return { code: error.kind, message, isPassing: error.kind === 'temporarily-unavailable' };
}

async function findAllKeys(services: Services, work: Work): Promise<void> {
  const { row, rights } = work;
  const provider = row.provider ?? '';
  const { kms } = await accessForImport(services, provider, rights);
  const ends = endingList('ListKeys', Number.POSITIVE_INFINITY);
  do {
    const page = await listKeys(kms, largestPage, row.marker);
    const homes = await Promise.all(page.keys.map(({ arn }) => homeElsewhere(kms, arn)));
    const keys = page.keys.map((key, index) => ({ ...key, elsewhere: homes[index] ?? null }));
    row.marker = ends(page.next);
    if (!(await recordPage(services, work, keys))) return;
  } while (row.marker !== null && !work.isStopping());
}

type Found = ListedKey & { elsewhere: string | null };

/** @returns whether the import goes on, and is this process's to go on with. */
async function recordPage(services: Services, { row, token, rights }: Work, keys: Found[]): Promise<boolean> {
  const arns = keys.map(({ arn }) => arn);
  // What records say of a key is for those who may see them: of others it is looked at key by key.
  const taken = mayKnowAllKeys(rights.access) ? await takenAmong(services, arns) : new Map<string, never>();
  return services.database.prisma.$transaction(async (transaction) => {
    if (!(await recordListing(transaction, { id: row.id, token, marker: row.marker }))) return false;
    const { arns: known, next } = await foundBefore(transaction, row.id, arns);
    const candidates = keys
      .filter(({ arn }) => !known.has(arn))
      .map(({ arn, elsewhere }, index): Candidate => {
        const found = { position: next + index, source: arn, arn, provider: row.provider };
        if (elsewhere !== null) {
          const detail = `It is ${elsewhere} (${row.provider}).`;
          return { ...found, outcome: 'skipped', reason: { code: 'elsewhere', detail } };
        }
        const why = taken.get(arn);
        if (why === undefined) return found;
        const outcome = why.outcome;
        const id = outcome === 'already_managed' && why.keyId !== undefined ? { key_ref: why.keyId } : {};
        return { ...found, outcome, reason: { code: why.reason, detail: why.why }, ...id };
      });
    await insertItems(transaction, row.id, candidates);
    return true;
  });
}

type Place = Awaited<ReturnType<typeof placesOf>>[number];

async function findProviders(services: Services, work: Work): Promise<void> {
  const { row, token } = work;
  const isLast = row.attempts + 1 >= mostAttempts;
  const places = await placesOf(services.database.pool, row.id);
  const found = await Promise.all(
    places.map(async (place) => ({ place, is: await providerFor(services, work.rights, place, isLast) })),
  );
  await services.database.prisma.$transaction(async (transaction) => {
    if (!(await recordListing(transaction, { id: row.id, token, marker: null }))) return;
    for (const { place, is } of found) await recordProvider(transaction, row.id, place, is);
  });
}

/**
 * The provider for an account and Region.
 * @param isLast whether a provider whose account can't be told is taken for another's, and not asked again.
 * @throws KmsFailure when it can't be told now.
 */
async function providerFor(
  services: Services,
  { access }: Rights,
  { partition, region, account }: Place,
  isLast: boolean,
): Promise<{ provider: string } | { reason: Reason }> {
  const rows = await services.database.prisma.provider.findMany({ where: { region }, orderBy: { name: 'asc' } });
  const names: string[] = [];
  for (const row of rows) {
    const { allowed_account_ids: allowed } = settingsOf(row);
    const isOther = allowed.length > 0 && !allowed.includes(account);
    if (isOther || partitionOf(region) !== partition || !access.mayAt('keys:import', row.name)) continue;
    try {
      const { kms } = await accessTo(services, row.name);
      const identity = await kms.identity();
      if (identity === null || identity.account === account) names.push(row.name);
    } catch (error) {
      if (!(error instanceof KmsFailure) || !isLast) throw error;
    }
  }
  const [provider] = names;
  if (provider !== undefined && names.length === 1) return { provider };
  const place = `account ${account}, Region ${region}${partition === 'aws' ? '' : `, partition ${partition}`}`;
  const detail =
    provider === undefined
      ? `No provider is for ${place}: make one (POST /v1/providers), then ask for the import again.`
      : `More than one provider is for ${place}: ${names.join(', ')}. Say which: \`provider\` of the import.`;
  return { reason: { code: provider === undefined ? 'no_provider' : 'several_providers', detail } };
}
