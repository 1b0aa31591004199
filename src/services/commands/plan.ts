/** Tells what a write would do, out of the planner that does it and a fresh look at KMS. Records nothing. */
import { v7 as uuidv7 } from 'uuid';
import type { Rights } from '../../domain/access.ts';
import { changedFields } from '../../domain/changes.ts';
import { differences } from '../../domain/drift.ts';
import { plan, planWithin } from '../../domain/planner.ts';
import { withRecentWrites } from '../../domain/recent-writes.ts';
import { refusalsOf } from '../../domain/refusals.ts';
import { scopeOf } from '../../domain/scope.ts';
import type { DesiredKey, ObservedKey, Step, Violation } from '../../domain/types.ts';
import { inputFault } from '../../domain/values.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { observeKey } from '../../kms/observe.ts';
import { parametersOf } from '../../kms/operations.ts';
import type { Plan } from '../../schemas/plan.ts';
import type { Services } from '../context.ts';
import { findKey, lookUpKey } from '../keys/find.ts';
import { assertManaged } from '../keys/preconditions.ts';
import { type Input, ProblemError, problemOf } from '../problems.ts';
import { accessToKey } from '../providers/access.ts';
import { servicesWith } from '../providers/quotas.ts';
import { type DeclaredKey, declaredOf, desiredBy, desiredOf, driftOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { withSince } from '../sync/drift.ts';
import { believed } from '../sync/look.ts';
import { findRecentWrites } from '../sync/open-writes.ts';
import { aliasesToTake } from './alias-holders.ts';
import { findImportable, type ImportRequest } from './import.ts';
import { declaredByReplacement, type PatchTarget, patchTarget } from './input.ts';
import { declaredTogether } from './replicate-to.ts';

/** What stands for ids that are not known before the write. */
const unknownId = '<id>';
const unknownKeyId = '<key_id>';

/**
 * What POST /keys would do.
 * @param as.id the one that the caller has chosen. `isReplica`: of a key that is not told.
 * @throws ProblemError invalid-input, as that would.
 */
export async function planCreate(
  services: Services,
  input: Input,
  rights: Rights,
  { id = unknownId, takeAliases = false, isReplica = false } = {},
): Promise<Plan> {
  const { declared, provider, replicas } = await declaredTogether(services, input, rights);
  const desiredAs = (key: Pick<(typeof replicas)[number], 'declared' | 'provider'>) =>
    desiredBy({ id }, key.declared, key.provider.settings, services.ownershipTagName);
  const asReplica = (key: Pick<(typeof replicas)[number], 'declared' | 'provider'>) => {
    const replicates = { KeyId: unknownKeyId, ReplicaRegion: key.provider.settings.region };
    return planOfNew({ ...desiredAs(key), replicates });
  };
  const key = { declared, provider };
  const { lifecycle: _lifecycle, pending_window_in_days: _window, ...shown } = declared;
  const target = { id: id === unknownId ? uuidv7() : id, provider: provider.name, arn: null, key_id: null };
  return {
    steps: toSteps(
      [...(isReplica ? asReplica(key) : plan(desiredAs(key), null)), ...replicas.flatMap(asReplica)],
      unknownKeyId,
    ),
    changes: changedFields(null, shown),
    replacement: [],
    refusals: await takenAliases(services, target, { before: null, after: declared }, { rights, takeAliases }),
    drift: [],
  };
}

/** Aliases that another key has, as the write would say of them. */
async function takenAliases(
  services: Services,
  target: Parameters<typeof aliasesToTake>[1],
  declared: Parameters<typeof aliasesToTake>[2],
  asker: Parameters<typeof aliasesToTake>[3],
): Promise<Plan['refusals']> {
  try {
    await aliasesToTake(services, target, declared, asker);
    return [];
  } catch (error) {
    if (!(error instanceof ProblemError) || error.kind !== 'conflict') throw error;
    const told = { operation: 'UpdateAlias', field: 'aliases', code: 'AliasTaken' };
    return (error.errors ?? []).map(({ detail }) => ({ ...told, detail }));
  }
}

/**
 * What PATCH would do, or POST …/replace where the body changes what KMS fixes when a key is made.
 * @throws ProblemError not-found, conflict, invalid-input as those would; temporarily-unavailable, refused-by-kms when
 * KMS can't be asked.
 */
export async function planUpdate(services: Services, id: string, input: Input, rights: Rights): Promise<Plan> {
  const row = await findKey(services, id);
  assertManaged(row);
  const target = await patchTarget(services, row);
  return planChange(services, row, target, { ...declaredByReplacement(services, target, input), rights });
}

type Planned = { declared: DeclaredKey; immutable: Violation[]; rights: Rights; takeAliases?: boolean | undefined };

/**
 * What a change would do.
 * @param change what is declared then, and what of it makes a replacement needed.
 * @throws ProblemError temporarily-unavailable, refused-by-kms when KMS can't be asked.
 */
export async function planChange(
  services: Services,
  row: KeyRow,
  { provider: { settings } }: Pick<PatchTarget, 'provider'>,
  { declared, immutable, ...asker }: Planned,
): Promise<Plan> {
  const before = declaredOf(row);
  const replacement = immutable.map(inputFault);
  const changes = changedFields(before, declared);
  const isChange = Object.keys(changes).length > 0;
  const held = desiredOf(row, settings, services.ownershipTagName);
  const look = row.key_id === null ? null : await observe(services, row, row.key_id, { held, declared });
  if (look === 'gone') return { steps: [], changes, replacement, refusals: [lost(row)], drift: [] };
  const drift = look === null ? [] : withSince(differences(held, look.seen), driftOf(row), services.now());
  const observed = look === null ? null : isChange ? look.written : look.seen;
  const desired = {
    ...desiredBy(row, declared, settings, services.ownershipTagName),
    ...(await replicationOf(services, row, settings.region)),
  };
  if (immutable.length > 0) return { ...planReplacement(row, desired), changes, replacement, drift };
  const steps = observed === null ? planOfNew(desired) : plan(desired, observed);
  const taken = await takenAliases(services, row, { before, after: declared }, asker);
  return {
    steps: toSteps(steps, observed?.key_id ?? unknownKeyId),
    changes,
    replacement: [],
    refusals: [...refusalsOf(desired, observed, steps), ...taken],
    drift,
  };
}

/** All of it: of a replica, a sync plans what follows when KMS is done with it. */
function planOfNew({ replicates, ...desired }: DesiredKey): Step[] {
  const steps = plan(desired, null);
  if (replicates === undefined) return steps;
  const following = steps.filter(({ operation }) => operation !== 'CreateKey' && !/KeyRotation$/.test(operation));
  return [...plan({ ...desired, replicates }, null), ...following];
}

/** Of a replica that KMS has yet to make: of which key. */
async function replicationOf(services: Services, { replica_of, key_id }: KeyRow, ReplicaRegion: string) {
  if (replica_of === null || key_id !== null) return {};
  const primary = await lookUpKey(services, replica_of);
  return { replicates: { KeyId: primary?.key_id ?? unknownKeyId, ReplicaRegion } };
}

/**
 * What an import would do. Its steps leave alone what differs: that is drift from then on, and the drift policy's affair.
 * @throws ProblemError as importKey does.
 */
export async function planImport(services: Services, request: ImportRequest, rights: Rights): Promise<Plan> {
  const { id, observed, declared, settings } = await findImportable(services, request, { rights });
  const desired = desiredBy({ id }, declared, settings, services.ownershipTagName);
  const steps = planWithin(scopeOf([], [services.ownershipTagName]), desired, observed);
  const { lifecycle: _lifecycle, pending_window_in_days: _window, ...shown } = declared;
  return {
    steps: toSteps(steps, observed.key_id),
    changes: changedFields(null, shown),
    replacement: [],
    refusals: [],
    drift: withSince(differences(desired, observed), [], services.now()),
  };
}

function planReplacement(row: KeyRow, desired: DesiredKey): Pick<Plan, 'steps' | 'refusals'> {
  const steps = toSteps(plan(desired, null), unknownKeyId);
  if (row.key_id === null) return { steps, refusals: [] };
  const parameters = { PendingWindowInDays: row.deletion_window_in_days };
  const deletion: Step = { operation: 'ScheduleKeyDeletion', field: 'lifecycle', parameters };
  const refusals = row.deletion_protection ? [protectedFromDeletion] : [];
  return { steps: [...steps, ...toSteps([deletion], row.key_id)], refusals };
}

/**
 * As the sync looks at it, since reads may be stale: `written` has all of Keyward's latest writes in it, for a change to
 * build on; `seen` shows what somebody else changed.
 */
async function observe(
  services: Services,
  row: KeyRow,
  keyId: string,
  { held, declared }: { held: DesiredKey; declared: DeclaredKey },
): Promise<{ written: ObservedKey; seen: ObservedKey } | 'gone'> {
  try {
    const { kms, settings } = await accessToKey(services, row);
    const writes = await findRecentWrites(servicesWith(services, settings), row.id);
    const read = await observeKey(kms, keyId, declared.aliases === null ? held : declared);
    const { observed } = believed(row, held, read, writes);
    return { written: withRecentWrites(observed, writes), seen: observed };
  } catch (error) {
    if (!(error instanceof KmsFailure)) throw error;
    if (error.kind === 'not_found') return 'gone';
    throw problemOf(error, keyId);
  }
}

function toSteps(steps: Step[], keyId: string): Plan['steps'] {
  return steps.map((step) => ({ operation: step.operation, parameters: parametersOf(step, keyId), field: step.field }));
}

const protectedFromDeletion: Plan['refusals'][number] = {
  operation: 'ScheduleKeyDeletion',
  field: 'deletion_protection',
  code: 'DeletionProtection',
  detail: 'Keyward refuses to replace a key that has deletion_protection: set it to false first.',
};

function lost(row: KeyRow): Plan['refusals'][number] {
  const detail = `KMS has no key ${row.key_id} (any more). POST …/recreate makes a new one; what the old one encrypted is lost.`;
  return { operation: 'DescribeKey', field: null, code: 'NotFoundException', detail };
}
