/** Imports as they are watched, and what became of their keys. */
import { setTimeout } from 'node:timers/promises';
import { exitCodes } from './errors.ts';
import { paint, visible } from './io.ts';
import { printList, type ReadPage, readList } from './lists.ts';
import { type Column, printJson, printTable, say } from './print.ts';
import { openBar } from './progress.ts';
import { dataOf, type Schemas, type Session } from './session.ts';
import { inWords } from './text.ts';

export type Import = Schemas['Import'];
export type Item = Schemas['ImportItem'];

/** Milliseconds between two looks. */
const interval = 1000;

export const readImport = (session: Session, id: string): Promise<Import> =>
  dataOf<Import>(session, session.api.GET('/v1/imports/{id}', { params: { path: { id } } }));

export const readItems =
  (session: Session, id: string, outcome?: string): ReadPage<Item> =>
  (page) => {
    const query = { ...page, ...(outcome === undefined ? {} : { outcome: outcome as 'failed' }) };
    return dataOf<Schemas['ImportItemList']>(
      session,
      session.api.GET('/v1/imports/{id}/items', { params: { path: { id }, query } }),
    );
  };

/** How far it is, in a line. */
function pace({ counts, rate, expected_until, error }: Import): string {
  const { skipped, already_managed, failed } = counts;
  const parts = [
    ...(expected_until === null ? [] : [`until ${new Date(expected_until).toTimeString().slice(0, 8)}`]),
    ...(rate === null ? [] : [`${Math.round(rate * 10) / 10}/s`]),
    ...(already_managed === 0 ? [] : [`${already_managed} managed`]),
    ...(skipped === 0 ? [] : [`${skipped} skipped`]),
    ...(failed === 0 ? [] : [`${failed} failed`]),
    ...(error === null ? [] : [error.message]),
  ];
  return parts.join(', ');
}

/** Watches an import until it is over. Ctrl-C ends the watching alone. */
export async function watched(session: Session, begun: Import): Promise<Import> {
  const { id } = begun;
  session.underWay = `The import goes on by itself. keyward imports watch ${id} shows it again, keyward imports cancel ${id} ends it.`;
  const bar = openBar(session.io);
  let now = begun;
  try {
    while (now.state === 'running') {
      const { total, waiting } = now.counts;
      bar.update(total - waiting, total, pace(now));
      await setTimeout(interval, undefined, { signal: session.io.interrupted });
      now = await readImport(session, id);
    }
    bar.update(now.counts.total - now.counts.waiting, now.counts.total, pace(now));
  } finally {
    bar.stop();
  }
  session.underWay = undefined;
  return now;
}

/** The key has a column of its own: its name at the beginning would leave no room for what is the matter with it. */
function why({ source, arn, reason }: Item): string {
  const detail = reason?.detail ?? '';
  const name = [arn, source].find((one) => typeof one === 'string' && detail.startsWith(`${one} is `));
  return name === undefined ? detail : detail.slice(`${name} is `.length);
}

export const itemColumns: Column<Item>[] = [
  { title: 'KEY', of: ({ source }) => source, least: 20 },
  { title: 'OUTCOME', of: ({ outcome }) => outcome },
  { title: 'WHY', of: why, least: 20 },
];

/** Keys of each outcome that a terminal shows. */
const mostShown = 50;

type Difference = { source: string } & Item['differences'][number];

const differenceColumns: Column<Difference>[] = [
  { title: 'KEY', of: ({ source }) => source, least: 20 },
  { title: 'FIELD', of: ({ field }) => field, least: 8 },
  { title: 'STATE SAYS', of: ({ stated }) => inWords(stated), least: 10 },
  { title: 'KMS HAS', of: ({ observed }) => inWords(observed), least: 10 },
];

/** Where the state that keys come from and KMS disagree. */
async function showDifferences(session: Session, id: string): Promise<void> {
  const found: Difference[] = [];
  await readList(readItems(session, id), Number.POSITIVE_INFINITY, (items) => {
    found.push(...items.flatMap(({ source, differences }) => differences.map((one) => ({ source, ...one }))));
  });
  if (found.length === 0) return;
  say(session.io, "Terraform's state and KMS disagree; what KMS has counts:");
  printTable(session.io, differenceColumns, found.slice(0, mostShown));
}

/** Shows what became of the keys: to programs all of them, to a person those that need a look. */
export async function showEnded(session: Session, ended: Import): Promise<number> {
  const { io, json } = session;
  const { id, counts, state, dry_run: isDryRun, source, error } = ended;
  if (json) {
    await readList(readItems(session, id), Number.POSITIVE_INFINITY, (items) => {
      for (const item of items) printJson(io, item);
    });
  } else {
    for (const outcome of ['skipped', 'failed'] as const) {
      if (counts[outcome] === 0) continue;
      await printList(session, readItems(session, id, outcome), { columns: itemColumns, limit: mostShown, none: '' });
      const more = counts[outcome] - mostShown;
      if (more > 0) say(io, `${more} more: keyward imports items ${id} --outcome ${outcome}`);
    }
    if (source === 'terraform_state') await showDifferences(session, id);
  }
  if (error !== null && state === 'failed')
    say(io, paint(io.stderr, 'red', visible(`${error.code}: ${error.message}`)));
  const { imported, already_managed, skipped, failed } = counts;
  const words = isDryRun ? 'would be imported' : 'imported';
  const summary = `Import ${id}: ${imported} ${words}, ${already_managed} managed already, ${skipped} skipped, ${failed} failed`;
  const how = state === 'done' ? '' : ` The import was ${state === 'cancelled' ? 'cancelled' : 'not carried out'}.`;
  say(io, `${summary}.${how}`);
  return state === 'done' && failed === 0 ? exitCodes.ok : exitCodes.failed;
}
