/** Some keys of one import at one provider: each is looked at, and those that can be are recorded together. */
import { randomUUID } from 'node:crypto';
import { isDatabaseAway } from '../../database/client.ts';
import type { Rights } from '../../domain/access.ts';
import { disagreements, type StatedKey } from '../../domain/terraform-state.ts';
import { Urgency, withUrgency } from '../../kms/urgency.ts';
import { mayKnowAllKeys } from '../access/keys.ts';
import {
  accessForImport,
  declaredByKms,
  findImportable,
  type Importable,
  type ImportedAs,
  importedKey,
} from '../commands/import.ts';
import { NotImportable, takenAmong } from '../commands/import-refusals.ts';
import type { Services } from '../context.ts';
import { recordFoundKeys } from '../keys/intents.ts';
import { ProblemError } from '../problems.ts';
import type { Access } from '../providers/access.ts';
import type { Semaphore } from '../sync/semaphore.ts';
import { doerOf, fail } from './ending.ts';
import { mostAttempts, pauseBefore } from './listing.ts';
import { whileRenewed } from './renewal.ts';
import { holdRunning, type ImportRow } from './rows/imports.ts';
import {
  giveItemsBack,
  type ItemRow,
  recordOutcomes,
  removeItems,
  renewItems,
  type Settled,
  takeItems,
} from './rows/items.ts';

/** Keys of a batch: so few that a cancelled import is over soon. */
const batchSize = 64;

type Work = { row: ImportRow; provider: string; token: string; rights: Rights; readers: Semaphore };

/** `hidden`: whoever asked may not know of the key. */
type Look = { item: ItemRow; settled: Settled; importable?: Importable; hidden?: boolean };

/** Takes keys whose turn has come, and deals with them. @returns whether there were any. */
export async function importBatch(
  services: Services,
  { importId, provider }: { importId: string; provider: string },
  readers: Semaphore,
): Promise<boolean> {
  const { pool } = services.database;
  const token = randomUUID();
  const { lease } = services.times;
  const { isHeld } = services.watch;
  const taken = await takeItems(pool, { importId, provider, count: batchSize, token, milliseconds: lease, isHeld });
  if (taken === null) return false;
  const { row, items } = taken;
  const renew = () => renewItems(pool, importId, token, lease);
  try {
    await whileRenewed(lease, renew, async () => {
      // By now: what was given may have been taken away.
      const access = await services.callers.accessOf(row.subject);
      const work: Work = { row, provider, token, rights: { access, permission: 'keys:import' }, readers };
      const looks = await lookAtAll(services, work, items);
      await record(services, work, looks);
    });
  } finally {
    await giveItemsBack(pool, importId, token).catch(() => {});
  }
  return true;
}

async function lookAtAll(services: Services, work: Work, items: ItemRow[]): Promise<Look[]> {
  const { rights, provider } = work;
  let access: Access;
  try {
    access = await accessForImport(services, provider, rights);
  } catch (error) {
    const looks = items.map((item) => ({ item, settled: failed(work, item, error) }));
    const isOver = looks.some(({ settled }) => settled.outcome !== 'waiting');
    if (work.row.kind !== 'all' || !isOver || mayKnowAllKeys(rights.access)) return looks;
    // Nobody has looked whether whoever asked may know of these keys: the import is told of, and none of them.
    const { kind: code, message } = error as ProblemError;
    await fail(services, work.row.id, { code, message });
    return [];
  }
  const seesAll = mayKnowAllKeys(rights.access);
  const arns = items.flatMap(({ arn }) => arn ?? []);
  const taken = seesAll && arns.length > 0 ? await takenAmong(services, arns) : new Map<string, NotImportable>();
  return Promise.all(
    items.map(async (item): Promise<Look> => {
      const why = item.arn === null ? undefined : taken.get(item.arn);
      if (why !== undefined) return { item, settled: failed(work, item, why) };
      return lookAt(services, work, { item, access, isUnmanaged: seesAll && item.arn !== null });
    }),
  );
}

type Looked = { item: ItemRow; access: Access; isUnmanaged: boolean };

async function lookAt(services: Services, work: Work, { item, access, isUnmanaged }: Looked): Promise<Look> {
  const { row, provider, rights, readers } = work;
  const wanted = {
    key_id: item.arn ?? item.source,
    provider,
    as: importedAs(services, row, item.stated),
    isUnmanaged,
    ...(row.filters === null ? {} : { filters: row.filters }),
  };
  await readers.acquire();
  try {
    const look = () => findImportable(services, wanted, { rights }, access);
    const importable = await withUrgency(new Urgency(false), look);
    return { item, importable, settled: asImported(services, work, item, importable) };
  } catch (error) {
    if (isDatabaseAway(error)) throw error;
    const settled = error instanceof ProblemError ? failed(work, item, error) : again(services, item, error);
    return { item, settled, hidden: isHidden(work, error, settled) };
  } finally {
    readers.release();
  }
}

/** As it is in KMS, but for what KMS does not tell. */
function importedAs(services: Services, { drift_policy }: ImportRow, stated: StatedKey | null): ImportedAs {
  const { deletion_window_in_days: window, bypass_policy_lockout_safety_check: bypasses, tags = {} } = stated ?? {};
  return {
    declare: (observed, settings) => {
      const own = Object.entries(tags).filter(([name]) => Object.hasOwn(observed.tags, name));
      return {
        ...declaredByKms(services, observed, settings, Object.fromEntries(own)),
        ...(drift_policy === null ? {} : { drift_policy }),
        ...(window === undefined ? {} : { deletion_window_in_days: window }),
        ...(bypasses === undefined ? {} : { bypass_policy_lockout_safety_check: bypasses }),
      };
    },
  };
}

function asImported(
  { ownershipTagName }: Services,
  { row }: Work,
  { position, stated }: ItemRow,
  { id, observed, declared, settings }: Importable,
): Settled {
  const { lifecycle: _lifecycle, pending_window_in_days: _window, ...shown } = declared;
  const { ignore_tags } = settings;
  return {
    position,
    outcome: 'imported',
    arn: observed.arn,
    key_ref: row.dry_run ? null : id,
    declared: row.dry_run ? shown : null,
    differences: stated === null ? null : disagreements(stated, observed, { ignore_tags, ownershipTagName }),
  };
}

/** Of all keys of an account, whoever asked is told of those alone that they may see: what says nothing of that says no. */
function isHidden({ row, rights }: Work, error: unknown, { outcome }: Settled): boolean {
  if (row.kind !== 'all' || outcome === 'waiting') return false;
  if (error instanceof NotImportable) return error.reason === 'not_found';
  return !mayKnowAllKeys(rights.access);
}

/** What becomes of a key that was not imported. What may pass is tried again. */
function failed({ row }: Pick<Work, 'row'>, { position, attempts }: ItemRow, error: unknown): Settled {
  if (error instanceof NotImportable) {
    const { reason, outcome, why, keyId } = error;
    // Of a state that has the keys of many accounts, those of others are left.
    const isLeft = reason === 'elsewhere' && row.kind === 'terraform_state';
    const id = reason === 'already_managed' && keyId !== undefined ? { key_ref: keyId } : {};
    return { position, outcome: isLeft ? 'skipped' : outcome, reason: { code: reason, detail: why }, ...id };
  }
  if (!(error instanceof ProblemError)) throw error;
  const detail = error.errors?.[0]?.detail ?? error.message;
  switch (error.kind) {
    case 'temporarily-unavailable': {
      const reason = { code: 'unavailable' as const, detail };
      if (attempts + 1 >= mostAttempts) return { position, outcome: 'failed', reason };
      return { position, outcome: 'waiting', reason, retryAfter: pauseBefore(attempts) };
    }
    case 'not-found':
      return { position, outcome: 'failed', reason: { code: 'not_found', detail } };
    case 'forbidden':
      return { position, outcome: 'failed', reason: { code: 'forbidden', detail } };
    case 'refused-by-kms':
      return { position, outcome: 'failed', reason: { code: 'refused', detail } };
    default:
      return { position, outcome: 'failed', reason: { code: 'invalid', detail } };
  }
}

async function record(services: Services, work: Work, looks: Look[]): Promise<void> {
  const { row, token } = work;
  const { pool, prisma } = services.database;
  const hidden = looks.filter((look) => look.hidden);
  if (hidden.length > 0)
    await removeItems(
      pool,
      row.id,
      token,
      hidden.map(({ item }) => item.position),
    );
  const found = looks.filter((look): look is Found => look.importable !== undefined && !row.dry_run);
  const rest = looks.filter((look) => !look.hidden && (look.importable === undefined || row.dry_run));
  if (rest.length > 0) {
    await recordOutcomes(
      prisma,
      { importId: row.id, token },
      rest.map(({ settled }) => settled),
    );
  }
  if (found.length === 0) return;
  try {
    await recordTogether(services, work, found);
  } catch (error) {
    if (error instanceof Ended || isDatabaseAway(error)) return;
    for (const one of found) await recordAlone(services, work, one);
  }
}

type Found = Look & { importable: Importable };

/** Thrown where the import has ended, or its keys are another process's by now: nothing was recorded. */
class Ended extends Error {}

function recordTogether(services: Services, { row, provider, token, rights }: Work, found: Found[]): Promise<void> {
  const keys = found.map(({ importable }) => importedKey({ provider }, importable));
  return recordFoundKeys(services, provider, keys, { ...doerOf(row), rights }, async (transaction) => {
    if (!(await holdRunning(transaction, row.id))) throw new Ended();
    const settled = found.map((one) => one.settled);
    const count = await recordOutcomes(transaction, { importId: row.id, token }, settled);
    if (count !== found.length) throw new Ended();
  });
}

/** Something is the matter with one of several: the others are imported all the same. */
async function recordAlone(services: Services, work: Work, one: Found): Promise<void> {
  const { row, token } = work;
  try {
    await recordTogether(services, work, [one]);
  } catch (error) {
    if (error instanceof Ended || isDatabaseAway(error)) return;
    const { arn } = one.importable.observed;
    const why = (await takenAmong(services, [arn])).get(arn) ?? error;
    const settled = why instanceof ProblemError ? failed(work, one.item, why) : again(services, one.item, why);
    await recordOutcomes(services.database.prisma, { importId: row.id, token }, [settled]);
  }
}

/** An error of Keyward, or two records that were made at once: the next look tells. */
function again({ log }: Services, { position, source, attempts }: ItemRow, error: unknown): Settled {
  log.warn({ err: error, source }, 'a key could not be imported');
  const reason = {
    code: 'unavailable' as const,
    detail: 'It could not be put on record: the log of Keyward tells why.',
  };
  if (attempts + 1 >= mostAttempts) return { position, outcome: 'failed', reason };
  return { position, outcome: 'waiting', reason, retryAfter: pauseBefore(attempts) };
}
