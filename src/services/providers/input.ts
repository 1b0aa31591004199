/** Turns what a caller sent into a provider's settings, or into everything that is wrong with it. */
import { endpointFault } from '../../domain/endpoint.ts';
import type { ProviderSettings } from '../../domain/provider.ts';
import { mostTags, patchedTags, tagFaults } from '../../domain/tags.ts';
import type { Violation } from '../../domain/types.ts';
import type { ProviderCreate, ProviderPatch } from '../../schemas/provider.ts';
import { type Input, invalidInput } from '../problems.ts';

type Given = Omit<ProviderCreate, 'name'>;

const standardRefreshInterval = 600;

/** The settings that the body of a POST declares. @throws ProblemError invalid-input with every violation at once. */
export function settingsByCreate(input: Input, ownershipTagName: string): ProviderSettings {
  assertOfItsSchema(input, ownershipTagName);
  return checked(complete(input.body as Given), ownershipTagName);
}

/**
 * The settings that the body of a PATCH declares. Every field that it has replaces the one before it whole, a role as much
 * as a list; `default_tags` alone, many things under one name, merge.
 * @throws ProblemError invalid-input with every violation at once.
 */
export function settingsByPatch(current: ProviderSettings, input: Input, ownershipTagName: string): ProviderSettings {
  assertOfItsSchema(input, ownershipTagName);
  const patch = input.body as ProviderPatch;
  assertExternalIdIsSaid(current.assume_role, patch.assume_role);
  const { default_tags: tags } = patch;
  const default_tags = tags === undefined ? current.default_tags : patchedTags(current.default_tags, tags);
  return checked(complete({ ...current, ...patch, default_tags }), ownershipTagName);
}

/** null stands for the default, in the whole and in its parts. */
function complete(given: Given): ProviderSettings {
  const { assume_role: role, ignore_tags: ignored } = given;
  return {
    region: given.region,
    endpoint: given.endpoint ?? null,
    assume_role:
      role === null || role === undefined
        ? null
        : { role_arn: role.role_arn, external_id: role.external_id ?? null, session_name: role.session_name ?? null },
    allowed_account_ids: given.allowed_account_ids ?? [],
    default_tags: (given.default_tags ?? {}) as ProviderSettings['default_tags'],
    ignore_tags: { keys: ignored?.keys ?? [], key_prefixes: ignored?.key_prefixes ?? [] },
    drift_policy: given.drift_policy ?? 'enforce',
    refresh_interval_seconds: given.refresh_interval_seconds ?? standardRefreshInterval,
    quotas: completeQuotas(given.quotas),
  };
}

/** An object that says nothing says no more than null. */
function completeQuotas(given: Given['quotas']): ProviderSettings['quotas'] {
  if (typeof given !== 'object' || given === null) return given ?? null;
  const requests_per_second = (given.requests_per_second ?? {}) as Record<string, number>;
  const settle_seconds = given.settle_seconds ?? null;
  if (Object.keys(requests_per_second).length === 0 && settle_seconds === null) return null;
  return { requests_per_second, settle_seconds };
}

function checked(settings: ProviderSettings, ownershipTagName: string): ProviderSettings {
  const violations = tagFaults(settings.default_tags, '/default_tags', ownershipTagName);
  const total = Object.keys(settings.default_tags).length + 1;
  if (total > mostTags) {
    const detail = `A key has at most ${mostTags} tags; with the ownership tag the default tags alone are ${total}.`;
    violations.push({ pointer: '/default_tags', code: 'too_many', detail });
  }
  if (violations.length > 0) throw invalidInput(violations);
  return settings;
}

/**
 * A role's external id is easily left out by mistake, and every key is out of reach then; kept in silence, it would go
 * to another role.
 */
function assertExternalIdIsSaid(
  current: ProviderSettings['assume_role'],
  given: ProviderPatch['assume_role'] | undefined,
): void {
  if (given === undefined || given === null || given.external_id !== undefined) return;
  if (current === null || current.external_id === null) return;
  const detail = 'The provider has one, and assume_role is replaced whole: say it again, or null to have none.';
  throw invalidInput([{ pointer: '/assume_role/external_id', code: 'required', detail }]);
}

/** Where the schema has objections, the rules on tags are looked at all the same. */
function assertOfItsSchema({ body, violations: found }: Input, ownershipTagName: string): void {
  const violations = [...found, ...faultsOfUsableEndpoint(body, found)];
  if (violations.length === 0) return;
  throw invalidInput([...violations, ...faultsOfUsableTags(body, violations, ownershipTagName)]);
}

function faultsOfUsableEndpoint(body: unknown, violations: Violation[]): Violation[] {
  const endpoint = (body as { endpoint?: unknown } | null)?.endpoint;
  const isUsable = !violations.some(({ pointer }) => pointer === '/endpoint');
  const detail = isUsable && typeof endpoint === 'string' ? endpointFault(endpoint) : null;
  return detail === null ? [] : [{ pointer: '/endpoint', code: 'invalid_format', detail }];
}

function faultsOfUsableTags(body: unknown, violations: Violation[], ownershipTagName: string): Violation[] {
  const tags = (body as { default_tags?: unknown } | null)?.default_tags;
  const isUsable = !violations.some(({ pointer }) => pointer === '' || pointer.startsWith('/default_tags'));
  if (!isUsable || tags === null || typeof tags !== 'object') return [];
  const values = Object.entries(tags).filter(([, value]) => typeof value === 'string');
  return tagFaults(Object.fromEntries(values), '/default_tags', ownershipTagName);
}
