/** keyward import, and keyward imports …: many keys that exist in KMS, taken into management. */

import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import { collectTag } from '../arguments.ts';
import { act, type Context, given, group, leaf } from '../command.ts';
import { Failure, misuse } from '../errors.ts';
import { type Import, type Item, itemColumns, readImport, readItems, showEnded, watched } from '../imports.ts';
import { visibleLines } from '../io.ts';
import { positiveNumber, printList, readList } from '../lists.ts';
import { type Column, printJson, say } from '../print.ts';
import { removedBlocks } from '../removed.ts';
import { dataOf, rawAnswer, type Schemas, type Session } from '../session.ts';
import { time } from '../text.ts';

type Options = {
  all?: boolean;
  state?: string;
  provider?: string;
  driftPolicy?: Schemas['DriftPolicy'];
  tag?: Record<string, string>;
  createdAfter?: string;
  keyUsage?: Schemas['KeyUsage'];
  dryRun?: boolean;
  detach?: boolean;
};

/** A state file as it is, without a look at it: it may be large, and secret. */
async function beginOfState(
  session: Session,
  file: string,
  { provider, driftPolicy, dryRun }: Options,
): Promise<Import> {
  const content = file === '-' ? buffer(session.io.stdin) : readFile(file);
  const body = new Uint8Array(
    await content.catch((error: Error) => {
      throw misuse(`${file} can't be read: ${error.message}`);
    }),
  );
  const query = new URLSearchParams(
    given({ provider, drift_policy: driftPolicy, dry_run: dryRun ? 'true' : undefined }),
  );
  const headers = { 'Content-Type': 'application/vnd.keyward.tfstate+json' };
  const answer = await rawAnswer(session, `/v1/imports?${query}`, { method: 'POST', headers, body });
  return (await answer.json()) as Import;
}

function begin(session: Session, options: Options, ids: string[]): Promise<Import> {
  const { all = false, state, provider, driftPolicy, tag, createdAfter, keyUsage, dryRun } = options;
  const ways = [all, state !== undefined, ids.length > 0].filter(Boolean).length;
  if (ways !== 1) throw misuse('Which keys? One of --all, --state FILE, or their ids, ARNs or aliases.');
  const filters = given({ tags: tag, created_after: createdAfter, key_usage: keyUsage });
  if (!all && Object.keys(filters).length > 0) throw misuse('--tag, --created-after and --key-usage go with --all.');
  session.underWay = 'The import may have begun all the same: keyward imports list tells.';
  if (state !== undefined) return beginOfState(session, state, options);
  const source = all ? { all: true as const, ...filters } : { key_ids: ids };
  const body = { source, ...given({ provider, drift_policy: driftPolicy, dry_run: dryRun }) };
  return dataOf<Import>(session, session.api.POST('/v1/imports', { body }));
}

async function run(session: Session, options: Options, ids: string[]): Promise<number | undefined> {
  const begun = await begin(session, options, ids);
  if (!options.detach) return showEnded(session, await watched(session, begun));
  if (session.json) printJson(session.io, begun);
  say(session.io, `Import ${begun.id} goes on. keyward imports watch ${begun.id} shows how far it is.`);
  return undefined;
}

const columns: Column<Import>[] = [
  { title: 'ID', of: ({ id }) => id },
  { title: 'STATE', of: ({ state, dry_run }) => (dry_run ? `${state} (dry run)` : state) },
  { title: 'KEYS', of: ({ counts }) => `${counts.imported}/${counts.total}` },
  { title: 'STARTED', of: ({ started_at }) => time(started_at).slice(0, 16) },
  { title: 'BY', of: ({ requested_by }) => requested_by, least: 8, from: 100 },
];

async function list(session: Session): Promise<undefined> {
  const read = (query: { limit: number; cursor?: string }) =>
    dataOf<Schemas['ImportList']>(session, session.api.GET('/v1/imports', { params: { query } }));
  await printList(session, read, { columns, limit: undefined, none: 'There was no import.' });
}

async function watch(session: Session, _options: object, id: string): Promise<number> {
  return showEnded(session, await watched(session, await readImport(session, id)));
}

async function items(session: Session, options: { outcome?: string; limit?: number }, id: string): Promise<undefined> {
  const { outcome, limit } = options;
  await printList(session, readItems(session, id, outcome), {
    columns: itemColumns,
    limit,
    none: 'There is no such key.',
  });
}

async function removed(session: Session, _options: object, id: string): Promise<undefined> {
  const { source, dry_run: isDryRun } = await readImport(session, id);
  if (source !== 'terraform_state' || isDryRun) {
    throw new Failure(`Import ${id} took nothing out of a Terraform state.`);
  }
  const all: Item[] = [];
  await readList(readItems(session, id), Number.POSITIVE_INFINITY, (page) => {
    all.push(...page);
  });
  session.io.stdout.write(visibleLines(removedBlocks(all)));
}

async function cancel(session: Session, _options: object, id: string): Promise<undefined> {
  const call = session.api.POST('/v1/imports/{id}/cancel', { params: { path: { id } } });
  const ended = await dataOf<Import>(session, call);
  if (session.json) return printJson(session.io, ended);
  say(session.io, `Cancelled. ${ended.counts.imported} keys were imported before.`);
}

const example = '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10';

function addImports(context: Context, program: Command): void {
  const imports = group(program, 'imports', 'Imports that were asked for');
  act(
    context,
    leaf(imports, 'list', { summary: 'List imports, newest first', examples: ['keyward imports list'] }),
    list,
  );
  const watching = leaf(imports, 'watch <import>', {
    summary: 'Show how far an import is, until it is over',
    examples: [`keyward imports watch ${example}`],
  });
  act(context, watching, watch);
  const itemsOf = leaf(imports, 'items <import>', {
    summary: 'List the keys of an import, what became of each, and why',
    examples: [`keyward imports items ${example} --outcome failed`],
  })
    .option('--outcome <outcome>', 'imported, already_managed, skipped, failed or waiting')
    .option('--limit <number>', 'how many at most', positiveNumber);
  act<{ outcome?: string; limit?: number }>(context, itemsOf, items);
  const removing = leaf(imports, 'removed <import>', {
    summary: "Write Terraform's removed blocks for the keys that were imported out of its state",
    examples: [`keyward imports removed ${example} > removed.tf`],
  });
  act(context, removing, removed);
  const cancelling = leaf(imports, 'cancel <import>', {
    summary: 'End an import; the keys that were imported stay',
    examples: [`keyward imports cancel ${example}`],
  });
  act(context, cancelling, cancel);
}

export function addImport(context: Context, program: Command): void {
  const command = leaf(program, 'import [key...]', {
    summary: 'Take keys of KMS into management: all, those of a Terraform state, or some',
    more: 'Nothing in KMS is changed but the ownership tag. It goes on at the service when this ends. Exit code 1: a key failed.',
    examples: [
      'keyward import --all --dry-run',
      'keyward import --state terraform.tfstate --drift-policy report',
      'keyward import alias/payments',
    ],
  })
    .option('--all', 'every customer managed key of the provider')
    .option('--state <file>', 'the keys of a Terraform state, version 4; - for standard input')
    .option('--provider <name>', 'the account and Region; else by ARN, or default')
    .option('--drift-policy <policy>', 'of the imported keys: enforce, report or adopt')
    .option('--tag <name=value>', 'with --all: only keys with this tag; can be given again', collectTag)
    .option('--created-after <time>', 'with --all: only keys that were created later')
    .option('--key-usage <usage>', 'with --all: only keys for this use')
    .option('--dry-run', 'only tell what would be imported, and what not, and why')
    .option('--detach', 'do not wait until it is over');
  act<Options, [string[]]>(context, command, run);
  addImports(context, program);
}
