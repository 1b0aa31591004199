/**
 * A change of a provider that concerns its keys is made in the provider's row alone, and its keys are brought along afterwards: a
 * batch of them in each transaction, which locks no other row. How far that has come is on record, so that any process goes on.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ProviderRow, Transaction } from '../../database/client.ts';
import { changedTagNames, isIgnored, mergeTags, type TagSettings } from '../../domain/tags.ts';
import type { Services } from '../context.ts';
import {
  hasten,
  holdKeyBehind,
  holdKeysAfter,
  type KeyTags,
  type TagsChange,
  writeTags,
} from '../rows/provider-change.ts';

/** Keys of one transaction. */
const batchSize = 1000;
/** Milliseconds until a batch is looked for again that another process is at. */
const pause = 50;

/** Milliseconds between looks for changes that have been left. */
const interval = 1000;

const beforeAll = '00000000-0000-0000-0000-000000000000';

/** What a change is to do with the keys. */
export type Concern = { tags: boolean; hastens: boolean };

/**
 * Records that the provider's keys are to be brought along, from the first one on. What an earlier change has left to do is done
 * along with it. To be recorded before the provider's row is locked: whoever is at a batch has the same order.
 */
export async function beginChange(
  transaction: Transaction,
  provider: string,
  { tags, hastens }: Concern,
): Promise<void> {
  await transaction.$executeRaw`
    INSERT INTO provider_changes (provider, reached, tags, hastens) VALUES (${provider}, ${beforeAll}::uuid, ${tags}, ${hastens})
    ON CONFLICT (provider) DO UPDATE SET reached = excluded.reached,
      tags = provider_changes.tags OR excluded.tags, hastens = provider_changes.hastens OR excluded.hastens`;
}

/** Brings the provider's keys along until all are, or the time is up, or something is the matter: then the workers go on. */
export async function bringAlong(services: Services, provider: string, milliseconds: number): Promise<void> {
  const start = performance.now();
  try {
    while (performance.now() - start < milliseconds) {
      const progress = await bringBatchAlong(services, provider);
      if (progress === 'done') return;
      if (progress === 'busy') await delay(pause);
    }
  } catch (error) {
    services.log.warn({ err: error, provider }, notNow);
  }
}

const notNow = 'could not bring keys along with a change of their provider';

/** Has this process go on, now and then, with all changes that have not reached all keys and that no other is at. */
export function startBringingAlong(services: Services): { stop(): Promise<void> } {
  const ending = new AbortController();
  const { signal } = ending;
  const work = async () => {
    while (!signal.aborted) {
      await bringAllAlong(services, signal).catch((error) => services.log.warn({ err: error }, notNow));
      await delay(interval, undefined, { signal }).catch(() => {});
    }
  };
  const working = work();
  return {
    stop: () => {
      ending.abort();
      return working;
    },
  };
}

/** Goes on with all changes that no other process is at. */
export async function bringAllAlong(services: Services, signal: AbortSignal): Promise<void> {
  // Every second, and most often in vain: by the pool it costs an idle process half of what it does by Prisma.
  const { rows: changes } = await services.database.pool.query<{ provider: string }>(
    'SELECT provider FROM provider_changes',
  );
  for (const { provider } of changes) {
    while (!signal.aborted && (await bringBatchAlong(services, provider)) === 'more');
  }
}

/** busy: another process is at it. */
async function bringBatchAlong(services: Services, provider: string): Promise<'more' | 'done' | 'busy'> {
  const progress = await services.database.prisma.$transaction(async (transaction) => {
    const [change] = await transaction.$queryRaw<({ reached: string } & Concern)[]>`
      SELECT reached, tags, hastens FROM provider_changes WHERE provider = ${provider} FOR UPDATE SKIP LOCKED`;
    if (change === undefined) {
      return (await transaction.providerChange.findUnique({ where: { provider } })) === null ? 'done' : 'busy';
    }
    const row = await transaction.provider.findUnique({ where: { name: provider } });
    const { keys, last } =
      row === null
        ? { keys: [], last: null }
        : await holdKeysAfter(transaction, provider, { after: change.reached, count: batchSize });
    if (row !== null) await write(transaction, row, keys);
    if (row !== null && change.hastens) {
      await hasten(
        transaction,
        keys.map(({ id }) => id),
        row.refresh_interval_seconds,
      );
    }
    if (last === null) {
      await transaction.providerChange.delete({ where: { provider } });
      return 'done';
    }
    await transaction.providerChange.update({ where: { provider }, data: { reached: last } });
    return 'more';
  });
  if (progress !== 'busy') await services.failurePoints.pass('keys-brought-along');
  return progress;
}

/**
 * Brings one key along, whoever is at the others: before something is declared of it by the settings as they are, which are
 * locked.
 */
export async function bringKeyAlong(transaction: Transaction, row: ProviderRow, keyId: string): Promise<void> {
  await write(transaction, row, await holdKeyBehind(transaction, keyId));
}

function write(transaction: Transaction, row: ProviderRow, keys: KeyTags[]): Promise<void> {
  const settings = { default_tags: row.default_tags, ignore_tags: row.ignore_tags } as TagSettings;
  return writeTags(
    transaction,
    keys.map((key) => changeOf(key, settings)).filter((change) => change !== null),
  );
}

/** What an earlier change has left to do stays to be done: a change can be superseded midway. */
function changeOf(
  { id, tags, tags_all: before, due, is_reachable }: KeyTags,
  settings: TagSettings,
): TagsChange | null {
  const after = mergeTags(settings, tags);
  const changed = changedTagNames(before, after);
  if (changed.length === 0) return null;
  const names = [...new Set([...(due ?? []), ...changed])].filter((name) => !isIgnored(name, settings.ignore_tags));
  return { id, tags_all: after, due: is_reachable && names.length > 0 ? names : null };
}
