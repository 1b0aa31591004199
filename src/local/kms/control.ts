/**
 * The control endpoint under /_local/, for tests: the call log, faults, settings and the clock. Plain HTTP and JSON,
 * without a signature.
 */
import type { CallLog } from './call-log.ts';
import type { Clock } from './clock.ts';
import { KmsError } from './errors.ts';
import { type Fault, type Faults, faultKinds } from './faults.ts';
import { deletePrincipal } from './principals.ts';
import type { Quotas } from './quotas.ts';
import { readRole, shownRole } from './roles.ts';
import { applySettings, changedSettings, type Settings } from './settings.ts';
import type { StaleReads } from './stale-reads.ts';
import type { Store } from './store.ts';

export type Control = {
  store: Store;
  calls: CallLog;
  faults: Faults;
  clock: Clock;
  settings: Settings;
  quotas: Quotas;
  staleReads: StaleReads;
};

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
      faults.add([body].flat().map(toFault));
      return { faults: faults.list() };
    case 'DELETE /_local/faults':
      faults.clear();
      return {};
    case 'GET /_local/settings':
      return control.settings;
    case 'PUT /_local/settings':
      control.settings = changedSettings(control.settings, body);
      applySettings(control.settings, control.quotas, control.staleReads);
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
      loseKey(control.store, body);
      return {};
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

/** Removes a key as KMS does at the end of its deletion window, without the wait. */
function loseKey(store: Store, body: unknown): void {
  const arn = String((body as Record<string, unknown> | null)?.['arn']);
  const [, region = '', account = '', keyId = ''] = /^arn:aws[a-z-]*:kms:([^:]+):(\d{12}):key\/(.+)$/.exec(arn) ?? [];
  const key = store.findKey({ account, region }, keyId);
  if (key === undefined) throw new KmsError('BadRequest', 'arn must be the ARN of a key that is there');
  store.removeKey(key);
}

function toFault(given: unknown): Fault {
  const { operation = '*', kind, times = 1, type, message } = (given ?? {}) as Record<string, unknown>;
  const known = faultKinds.find((candidate) => candidate === kind);
  if (known === undefined) throw new KmsError('BadRequest', `kind must be one of ${faultKinds.join(', ')}`);
  return {
    operation: String(operation),
    kind: known,
    times: times === null ? null : Number(times),
    ...(typeof type === 'string' ? { type } : {}),
    ...(typeof message === 'string' ? { message } : {}),
  };
}
