/** Turns what a caller sent into a declared key, or into everything that is wrong with it. */
import type { Rights } from '../../domain/access.ts';
import { haveSameNames } from '../../domain/aliases.ts';
import { type ArgumentName, ofPrimary } from '../../domain/arguments.ts';
import {
  argumentViolations,
  type GivenArguments,
  immutableChanges,
  type RuleContext,
  withDefaults,
} from '../../domain/key-rules.ts';
import { pointerSegment } from '../../domain/pointer.ts';
import type { ProviderSettings } from '../../domain/provider.ts';
import { unattainable } from '../../domain/refusals.ts';
import { patchedTags, type TagSettings } from '../../domain/tags.ts';
import { depthOf } from '../../domain/text.ts';
import type { Json, ObservedKey, Tags, Violation } from '../../domain/types.ts';
import type { Services } from '../context.ts';
import { lookUpKey } from '../keys/find.ts';
import { type Input, invalidInput } from '../problems.ts';
import { findSettings, type NamedProvider, settingsFor, standardProvider } from '../providers/settings.ts';
import { type DeclaredKey, declaredOf, observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { primaryInWords, primaryNameOf } from '../rows/relatives.ts';

type Given = GivenArguments & { provider?: string | null };

const deepestInput = 100;

/**
 * The key that the body of a POST declares. A provider where the caller may not declare any does not exist for it.
 * @throws ProblemError invalid-input with every violation at once.
 */
export async function declaredByCreate(
  services: Services,
  input: Input,
  { access, permission }: Rights,
): Promise<{ declared: DeclaredKey; provider: NamedProvider }> {
  const { given, invalidFields, violations } = usablePart(input);
  const name = given.provider ?? standardProvider;
  const isKnown = access.mayAt(permission, name) && !invalidFields.has('provider');
  const found = isKnown ? await findSettings(services, name) : null;
  if (found === null && !invalidFields.has('provider')) {
    violations.push({
      pointer: '/provider',
      code: 'not_found',
      detail: `There is no provider ${JSON.stringify(name)}.`,
    });
  }
  // What else is wrong is found all the same.
  const settings = found ?? withoutSettings;
  const declared = complete(given, settings);
  violations.push(...argumentViolations(declared, invalidFields, ruleContext(services, settings)));
  if (violations.length > 0 || found === null) throw invalidInput(violations);
  return { declared, provider: { name, settings: found } };
}

const withoutSettings = {
  default_tags: {},
  ignore_tags: { keys: [], key_prefixes: [] },
  drift_policy: 'enforce' as const,
};

/**
 * The replica that the body of POST …/replicas declares.
 * @throws ProblemError invalid-input with every violation at once.
 */
export async function declaredByReplication(services: Services, primary: DeclaredKey, input: Input, rights: Rights) {
  const body = input.body;
  const own = body !== null && typeof body === 'object' && !Array.isArray(body) ? body : {};
  const { enable_key_rotation: _rotates, rotation_period_in_days: _period, ...fixed } = primaryOnly(primary);
  // What it has in common with its primary key is not the body's: the schema has no such fields.
  return declaredByCreate(services, { ...input, body: { ...own, ...fixed } }, rights);
}

/** What a replica has in common with its primary key. */
function primaryOnly(declared: DeclaredKey): Partial<GivenArguments> {
  return Object.fromEntries(Object.entries(declared).filter(([name]) => ofPrimary.has(name as ArgumentName)));
}

type Settings = Pick<ProviderSettings, 'default_tags' | 'ignore_tags' | 'drift_policy'>;

/** A key as it stands when a patch comes. */
export type PatchTarget = {
  declared: DeclaredKey;
  provider: NamedProvider;
  observed: ObservedKey | null;
  /** Of a replica: its primary key in words, and what it has from that. */
  primary: { inWords: string; has: DeclaredKey } | null;
};

/** @throws ProblemError temporarily-unavailable without its provider. */
export async function patchTarget(services: Services, row: KeyRow): Promise<PatchTarget> {
  return {
    declared: declaredOf(row),
    provider: { name: row.provider, settings: await settingsFor(services, row.provider) },
    observed: observedOf(row),
    primary: await primaryOf(services, row),
  };
}

async function primaryOf(services: Services, row: KeyRow): Promise<PatchTarget['primary']> {
  if (primaryNameOf(row) === null) return null;
  const primary = row.replica_of === null ? undefined : await lookUpKey(services, row.replica_of);
  return { inWords: primaryInWords(row), has: declaredOf(primary ?? row) };
}

/**
 * What a body says of what a replica has from its primary key: it may say that as it is, and nothing else.
 * @returns the body with what is declared of the replica in its place.
 */
function withoutPrimarys({ primary, declared }: PatchTarget, given: Given): { given: Given; violations: Violation[] } {
  if (primary === null) return { given, violations: [] };
  const names = [...ofPrimary];
  const violations = names
    .filter((name) => (given[name] ?? primary.has[name]) !== primary.has[name])
    .map((name): Violation => {
      const detail = `A replica has it from ${primary.inWords}: change it there.`;
      return { pointer: `/${name}`, code: 'immutable', detail };
    });
  const own = Object.fromEntries(names.map((name) => [name, declared[name]]));
  return { given: { ...given, ...own }, violations };
}

/**
 * The key that the body of a PATCH declares.
 * @throws ProblemError invalid-input with every violation at once.
 */
export function declaredByPatch(services: Services, target: PatchTarget, input: Input): DeclaredKey {
  return changeable(services, target, merge(target, input));
}

/**
 * The key that the body of a PUT declares of one that is there: all that the body leaves out is at its default.
 * @throws ProblemError invalid-input with every violation at once.
 */
export function declaredByPut(services: Services, target: PatchTarget, input: Input): DeclaredKey {
  const { given, invalidFields, violations: broken } = usablePartFor(target, input);
  const { lifecycle, pending_window_in_days } = target.declared;
  const declared = { ...complete(given, target.provider.settings), lifecycle, pending_window_in_days };
  const named = { ...(invalidFields.has('provider') ? {} : { provider: null }), ...given };
  const changed = immutableIn(target, declared, named);
  // What can't be read is told already.
  const immutable = changed.filter(({ pointer }) => !invalidFields.has(pointer.slice(1)));
  return changeable(services, target, { declared, immutable, broken, invalidFields });
}

type Merged = { declared: DeclaredKey; immutable: Violation[]; broken: Violation[]; invalidFields: Set<string> };

/** What is to become of a key that KMS has. @throws ProblemError invalid-input with every violation at once. */
function changeable(
  services: Services,
  target: PatchTarget,
  { declared, immutable, broken, invalidFields }: Merged,
): DeclaredKey {
  const settled = new Set([...invalidFields, ...immutable.map(({ pointer }) => pointer.slice(1))]);
  const violations = [
    ...broken,
    ...immutable,
    ...argumentViolations(declared, settled, ruleContext(services, target.provider.settings)),
  ];
  violations.push(...impossible(declared, target.observed, violations));
  if (violations.length > 0) throw invalidInput(violations);
  const before = target.declared.aliases;
  // In another order they are the same.
  const areSame = declared.aliases !== null && before !== null && haveSameNames(declared.aliases, before);
  return areSame ? { ...declared, aliases: before } : declared;
}

/** What KMS can't make of the key, as it was last seen, beside the rules that are broken already. */
function impossible(declared: DeclaredKey, observed: ObservedKey | null, broken: Violation[]): Violation[] {
  if (observed === null) return [];
  return unattainable(declared, observed)
    .map(({ field, detail }): Violation => {
      return { pointer: `/${field}`, code: 'incompatible', detail: `${detail} Set it to false.` };
    })
    .filter(({ pointer }) => !broken.some((violation) => violation.pointer === pointer));
}

/**
 * The key that a patch declares which may change what KMS fixes when a key is made.
 * @returns with what makes a replacement needed: empty when PATCH would do.
 * @throws ProblemError invalid-input with every violation at once.
 */
export function declaredByReplacement(
  services: Services,
  target: PatchTarget,
  input: Input,
): { declared: DeclaredKey; immutable: Violation[] } {
  const { declared, immutable, broken, invalidFields } = merge(target, input);
  const moves = immutable.filter(({ pointer }) => pointer === '/provider');
  const context = ruleContext(services, target.provider.settings);
  const violations = [...broken, ...moves, ...argumentViolations(declared, invalidFields, context)];
  if (violations.length > 0) throw invalidInput(violations);
  return { declared, immutable };
}

function merge(target: PatchTarget, input: Input): Merged {
  const { given, invalidFields, violations: broken } = usablePartFor(target, input);
  const { lifecycle, pending_window_in_days } = target.declared;
  const declared: DeclaredKey = {
    ...complete(patched(target.declared, given), target.provider.settings),
    ...periodUntold(target, given),
    lifecycle,
    pending_window_in_days,
  };
  return { declared, immutable: immutableIn(target, declared, given), broken, invalidFields };
}

/** What of the change needs another KMS key. */
function immutableIn(target: PatchTarget, declared: DeclaredKey, given: Given): Violation[] {
  const immutable = immutableChanges(target.declared, declared);
  if ('provider' in given && (given.provider ?? standardProvider) !== target.provider.name) {
    const detail = `The key is in KMS at provider ${target.provider.name} and can't be moved: a replacement is needed.`;
    immutable.push({ pointer: '/provider', code: 'immutable', detail });
  }
  return immutable;
}

/** The period of a key that was taken over rotating, where KMS did not tell it, is still not declared by a patch of other fields. */
function periodUntold({ declared }: PatchTarget, given: Given): Partial<DeclaredKey> {
  const isUntold = declared.enable_key_rotation && declared.rotation_period_in_days === null;
  const isAsked = 'enable_key_rotation' in given || 'rotation_period_in_days' in given;
  return isUntold && !isAsked ? { rotation_period_in_days: null } : {};
}

/**
 * Every field that the patch has replaces the one before it whole; tags alone are many things under one name. A policy,
 * above all, is one value: what is merged into one keeps the rights that the new one leaves out.
 */
function patched(declared: DeclaredKey, given: Given): Given {
  const changed: Given = { ...declared, ...given };
  if (given.tags !== undefined) changed.tags = patchedTags(declared.tags, given.tags);
  // Turning rotation off takes its period along, unless the patch says otherwise.
  const turnsOff = 'enable_key_rotation' in given && given.enable_key_rotation !== true;
  if (turnsOff) changed.rotation_period_in_days = given.rotation_period_in_days ?? null;
  return changed;
}

function complete(given: Given, settings: Settings): DeclaredKey {
  return withDefaults({ ...given, drift_policy: given.drift_policy ?? settings.drift_policy });
}

/** For arguments that were not sent but found. @throws ProblemError invalid-input */
export function assertRulesHold(services: Services, settings: TagSettings, declared: DeclaredKey): void {
  const violations = argumentViolations(declared, new Set(), ruleContext(services, settings));
  if (violations.length > 0) throw invalidInput(violations);
}

function ruleContext({ ownershipTagName }: Services, tagSettings: TagSettings): RuleContext {
  return { ownershipTagName, tagSettings };
}

/** The part of a body that is of the right types, so that the rules can be applied to all of that. */
function usablePart({ body, violations: found }: Input) {
  const violations = [...found];
  const members = body !== null && typeof body === 'object' && !Array.isArray(body) ? body : {};
  const { policy } = members as { policy?: Json };
  if (policy !== undefined && depthOf(policy, deepestInput) > deepestInput) {
    violations.push({
      pointer: '/policy',
      code: 'too_deep',
      detail: `The policy nests more than ${deepestInput} levels deep.`,
    });
  }
  const invalidFields = new Set(
    violations.filter(({ pointer }) => !pointer.startsWith('/tags/')).map(({ pointer }) => pointer.split('/')[1] ?? ''),
  );
  const usable = Object.entries(members)
    .filter(([name]) => !invalidFields.has(name))
    .map(([name, value]) => [name, name === 'tags' ? withoutInvalidTags(value, violations) : value]);
  return { given: Object.fromEntries(usable) as Given, invalidFields, violations };
}

/** The same for a key that is there. */
function usablePartFor(target: PatchTarget, input: Input) {
  const { given, invalidFields, violations } = usablePart(input);
  const own = withoutPrimarys(target, given);
  return { given: own.given, invalidFields, violations: [...violations, ...own.violations] };
}

/** A tag without a value is right in a PATCH, which removes it, and wrong in a POST: the schema says which. */
function withoutInvalidTags(tags: unknown, violations: Violation[]) {
  const invalid = new Set(violations.map(({ pointer }) => pointer));
  if (tags === null) return null;
  return Object.fromEntries(
    Object.entries(tags as Tags).filter(([tag]) => !invalid.has(`/tags/${pointerSegment(tag)}`)),
  );
}
