/**
 * The control endpoint under /_local/, for tests: the call log, faults, settings and the clock. Plain HTTP and JSON,
 * without a signature.
 */
import type { CallLog } from './call-log.ts';
import type { Clock } from './clock.ts';
import { KmsError } from './errors.ts';
import { type Faults, readFault } from './faults.ts';
import type { ForcedStates } from './forced-states.ts';
import type { PolicyRenderer } from './policy-rendering.ts';
import { deletePrincipal } from './principals.ts';
import type { Quotas } from './quotas.ts';
import { readRole, shownRole } from './roles.ts';
import { changedSettings, type Settings } from './settings.ts';
import type { Store, StoredKey } from './store.ts';

export type Control = {
  store: Store;
  calls: CallLog;
  faults: Faults;
  clock: Clock;
  settings: Settings;
  quotas: Quotas;
  staleReads: { seconds: number };
  forcedStates: ForcedStates;
  policyRenderer: PolicyRenderer;
};

/** Puts the settings in force. */
export function applySettings(control: Control): void {
  const { settings } = control;
  control.quotas.setting = settings.quotas;
  control.staleReads.seconds = settings.stale_reads_seconds;
  control.clock.error = settings.clock_offset_seconds * 1000;
  control.forcedStates.states = settings.key_states;
  control.forcedStates.multiRegionSeconds = settings.multi_region_seconds;
  control.policyRenderer.renderings = settings.policy_rendering;
}

/**
 * Answers a control request.
 * @param url path with query; starts with /_local/.
 * @throws KmsError for what is not understood.
 */
export function answerControl(control: Control, method: string, url: URL, body: unknown): object {
  const { calls, faults, clock } = control;
  switch (`${method} ${url.pathname}`) {
    case 'GET /_local/health':
      return { status: 'ok' };
    case 'GET /_local/calls':
      return calls.read(Number(url.searchParams.get('since') ?? 0));
    case 'DELETE /_local/calls':
      calls.clear();
      return {};
    case 'GET /_local/faults':
      return { faults: faults.list() };
    case 'POST /_local/faults':
      faults.add([body].flat().map(readFault));
      return { faults: faults.list() };
    case 'DELETE /_local/faults':
      faults.clear();
      return {};
    case 'GET /_local/settings':
      return control.settings;
    case 'PUT /_local/settings':
      control.settings = changedSettings(control.settings, body);
      applySettings(control);
      return control.settings;
    case 'GET /_local/clock':
      return { now: new Date(clock.now()).toISOString() };
    case 'POST /_local/clock':
      clock.advance(nonNegative(body, 'advance_seconds') * 1000);
      return { now: new Date(clock.now()).toISOString() };
    case 'POST /_local/deleted-principals':
      return { unique_id: deletePrincipal(control.store, arnIn(body)) };
    case 'GET /_local/roles':
      return { roles: control.store.identities.roles().map(shownRole) };
    case 'PUT /_local/roles': {
      const role = readRole(body);
      control.store.identities.saveRole(role);
      return shownRole(role);
    }
    case 'DELETE /_local/roles':
      control.store.identities.removeRole(arnIn(body));
      return {};
    case 'POST /_local/expired-sessions':
      return { expired: control.store.identities.expireSessions(body === null ? undefined : arnIn(body), Date.now()) };
    case 'POST /_local/lost-keys':
      control.store.removeKey(namedKey(control.store, body));
      return {};
    case 'PATCH /_local/keys':
      return changeKey(control.store, body);
    default:
      throw new KmsError('NotFound', `There is no ${method} ${url.pathname}`, 404);
  }
}

function nonNegative(body: unknown, member: string): number {
  const value = (body as Record<string, unknown> | null)?.[member];
  if (typeof value !== 'number' || !(value >= 0))
    throw new KmsError('BadRequest', `${member} must be a number, 0 or more`);
  return value;
}

function arnIn(body: unknown): string {
  const arn = (body as Record<string, unknown> | null)?.['arn'];
  if (typeof arn === 'string' && /^arn:aws[a-z-]*:iam::\d{12}:(user|role)\/.+$/.test(arn)) return arn;
  throw new KmsError('BadRequest', 'arn must be the ARN of a user or role');
}

/** The key whose ARN is given. @throws KmsError BadRequest when it is not there. */
function namedKey(store: Store, body: unknown): StoredKey {
  const arn = String((body as Record<string, unknown> | null)?.['arn']);
  const [, region = '', account = '', keyId = ''] = /^arn:aws[a-z-]*:kms:([^:]+):(\d{12}):key\/(.+)$/.exec(arn) ?? [];
  const key = store.findKey({ account, region }, keyId);
  if (key === undefined) throw new KmsError('BadRequest', 'arn must be the ARN of a key that is there');
  return key;
}

/**
 * Puts into a key what no operation takes: a policy that is not JSON, a description with a NUL.
 * @returns what it was before.
 */
function changeKey(store: Store, body: unknown): object {
  const key = namedKey(store, body);
  const { description, policy, tags, enabled, instead_of: before } = body as Record<string, unknown>;
  const was = { description: key.description, policy: key.policy, enabled: key.enabled };
  const isOther = ([name, value]: [string, unknown]) => key[name as keyof StoredKey] !== value;
  if (before !== null && typeof before === 'object' && Object.entries(before).some(isOther)) return was;
  store.saveKey({
    ...key,
    ...(typeof description === 'string' ? { description } : {}),
    ...(typeof policy === 'string' ? { policy } : {}),
    ...(typeof enabled === 'boolean' ? { enabled } : {}),
    ...(tags !== null && typeof tags === 'object'
      ? { tags: Object.entries(tags).map(([name, value]): [string, string] => [name, String(value)]) }
      : {}),
  });
  return was;
}
