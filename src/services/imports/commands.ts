/** Asks for an import of many keys, and ends one. Workers carry it out (`importer.ts`). */
import { v7 as uuidv7 } from 'uuid';
import type { Transaction } from '../../database/client.ts';
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import type { ImportFilters } from '../../domain/imports.ts';
import type { Violation } from '../../domain/types.ts';
import type { ImportCreate } from '../../schemas/imports.ts';
import type { Caller } from '../access/sign-in.ts';
import type { Actor, Services } from '../context.ts';
import { recordEvent } from '../history/log.ts';
import { conflict, invalidInput } from '../problems.ts';
import { findSettings, noSuchProvider, standardProvider } from '../providers/settings.ts';
import { finish } from './ending.ts';
import { endEarly, type ImportRow } from './rows/imports.ts';
import { type Candidate, insertItems } from './rows/items.ts';
import { countsOf, findVisible } from './show.ts';
import { candidatesIn, readState } from './state-file.ts';
import { longestArn, type StateFile } from './state-reader.ts';

export type ImportCommand = Actor & { caller: Caller; commandId?: string | undefined };

const kinds = ['key_ids', 'all', 'terraform_state'] as const;

/**
 * Records an import; it goes on by itself.
 * @returns its id.
 * @throws ProblemError invalid-input
 */
export async function createImport(services: Services, asked: ImportCreate, command: ImportCommand): Promise<string> {
  const { kind, filters } = sourceIn(asked.source);
  const found = asked.source.terraform_state === undefined ? null : readState(asked.source.terraform_state);
  return recordImport(services, { ...asked, kind, filters, candidates: candidatesOf(asked, found) }, command);
}

/** The same of a state file that has been read. */
export function createImportOfState(
  services: Services,
  asked: Omit<ImportCreate, 'source'>,
  state: StateFile,
  command: ImportCommand,
): Promise<string> {
  const candidates = candidatesIn(state, asked.provider ?? null);
  return recordImport(services, { ...asked, kind: 'terraform_state', filters: null, candidates }, command);
}

type Wanted = Omit<ImportCreate, 'source'> & {
  kind: ImportRow['kind'];
  filters: ImportFilters | null;
  candidates: Candidate[];
};

/** Which of the sources is meant. @throws ProblemError invalid-input unless it is one. */
function sourceIn(source: ImportCreate['source']): { kind: ImportRow['kind']; filters: ImportFilters | null } {
  const named = kinds.filter((name) => source[name] !== undefined && source[name] !== false);
  const [kind] = named;
  if (kind === undefined || named.length > 1) {
    const detail = 'A source has exactly one of key_ids, all and terraform_state.';
    throw invalidInput([{ pointer: '/source', code: 'incompatible', detail }]);
  }
  const { tags, created_after, key_usage } = source;
  const filters: ImportFilters = {
    ...(tags === undefined ? {} : { tags }),
    ...(created_after === undefined ? {} : { created_after }),
    ...(key_usage === undefined ? {} : { key_usage }),
  };
  const violations = Object.keys(filters).map((name): Violation => {
    return { pointer: `/source/${name}`, code: 'incompatible', detail: 'It goes with all, and with nothing else.' };
  });
  if (kind !== 'all' && violations.length > 0) throw invalidInput(violations);
  return { kind, filters: Object.keys(filters).length === 0 ? null : filters };
}

const keyArn = /^arn:[^:]+:kms:[^:]+:[^:]+:key\//;

function candidatesOf({ source, provider = null }: ImportCreate, state: StateFile | null): Candidate[] {
  if (state !== null) return candidatesIn(state, provider);
  const names = [...new Set(source.key_ids ?? [])];
  return names.map((name, position) => ({
    position,
    source: name,
    provider: provider ?? (name.startsWith('arn:') ? null : standardProvider),
    arn: keyArn.test(name) && Buffer.byteLength(name) <= longestArn ? name : null,
  }));
}

async function recordImport(services: Services, wanted: Wanted, command: ImportCommand): Promise<string> {
  const id = command.commandId ?? uuidv7();
  const { kind, filters, candidates, drift_policy = null, dry_run = false } = wanted;
  const provider = wanted.provider ?? (kind === 'all' ? standardProvider : null);
  await assertProvider(services, wanted.provider ?? null, provider, command.rights.access);
  const isListed = kind !== 'all' && candidates.every((one) => one.provider !== null || one.outcome !== undefined);
  await services.database.prisma.$transaction(async (transaction) => {
    const { count } = await transaction.import.createMany({
      // An earlier run of the same request may have recorded it, and be alive.
      skipDuplicates: true,
      data: {
        id,
        kind,
        provider,
        filters: filters === null ? Prisma.DbNull : filters,
        drift_policy,
        dry_run,
        is_listed: isListed,
        ...askerOf(command),
      },
    });
    if (count === 0) return;
    await insertItems(transaction, id, candidates);
    const data = { import: id, source: kind, dry_run };
    await recordEvent(transaction, { type: 'import.started', provider, data }, command);
  });
  // Of a state that has nothing but data sources, all is said already.
  await finish(services, id);
  return id;
}

function askerOf({ actor, caller, onBehalfOf, address, userAgent, requestId }: ImportCommand) {
  return {
    actor,
    principal: caller.principal,
    subject: caller.identity === null ? Prisma.DbNull : (caller.identity as Prisma.InputJsonObject),
    on_behalf_of: onBehalfOf ?? null,
    address: address ?? null,
    user_agent: userAgent ?? null,
    request_id: requestId,
  };
}

/** @throws ProblemError invalid-input where there is no such provider, or the caller may not import there. */
async function assertProvider(services: Services, given: string | null, provider: string | null, access: Access) {
  if (provider === null) return;
  const isKnown = access.mayAt('keys:import', provider) && (await findSettings(services, provider)) !== null;
  if (!isKnown) throw noSuchProvider(given ?? provider);
}

/**
 * Ends an import: no further key is imported; those that were stay.
 * @throws ProblemError not-found; conflict when it is over already, but for one that was cancelled.
 */
export async function cancelImport(services: Services, id: string, command: ImportCommand): Promise<void> {
  const row = await findVisible(services, id, command.caller, 'keys:import');
  const isEnded = await services.database.prisma.$transaction(async (transaction: Transaction) => {
    if ((await endEarly(transaction, id, { state: 'cancelled', error: null })) === null) return false;
    const counts = await countsOf(transaction, id);
    const data = { import: id, source: row.kind, dry_run: row.dry_run, counts };
    await recordEvent(transaction, { type: 'import.cancelled', provider: row.provider, data }, command);
    return true;
  });
  if (isEnded) return;
  const now = await findVisible(services, id, command.caller, 'keys:import');
  if (now.state !== 'cancelled') throw conflict(`The import is over already: ${now.state}.`);
}
