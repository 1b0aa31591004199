/**
 * The HTTP edge: AWS's JSON 1.1 protocol for KMS, the query protocol for STS, and the control endpoint. On node:http,
 * since faults on purpose reach below what a framework lets one do: reset a connection, never answer.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { send, sendSpoilt, type Written, withSpoiltMember } from './answers.ts';
import { authorize } from './authorization.ts';
import { CallLog } from './call-log.ts';
import { callerOf } from './caller.ts';
import { Clock } from './clock.ts';
import type { Caller, Operation } from './context.ts';
import { answerControl, applySettings, type Control } from './control.ts';
import { KmsError } from './errors.ts';
import { errorOf, type Fault, Faults } from './faults.ts';
import { ForcedStates } from './forced-states.ts';
import { arnNamed } from './keys.ts';
import { aliasOperations } from './operations/aliases.ts';
import { cryptographyOperations } from './operations/cryptography.ts';
import { grantOperations } from './operations/grants.ts';
import { keyStoreOperations } from './operations/key-stores.ts';
import { keyOperations } from './operations/keys.ts';
import { policyOperations } from './operations/policies.ts';
import { deleteDueKeys, replicaOperations } from './operations/replicas.ts';
import { rotationOperations } from './operations/rotation.ts';
import { stsOperations } from './operations/sts.ts';
import { taggingOperations } from './operations/tagging-api.ts';
import { tagOperations } from './operations/tags.ts';
import type { Parameters } from './parameters.ts';
import { PolicyRenderer } from './policy-rendering.ts';
import { jsonProtocol, type Protocol, parseJson, queryProtocol } from './protocols.ts';
import { Quotas } from './quotas.ts';
import type { Settings } from './settings.ts';
import type { Store } from './store.ts';

const operations = new Map<string, Operation>(
  [
    keyOperations,
    policyOperations,
    rotationOperations,
    tagOperations,
    aliasOperations,
    replicaOperations,
    keyStoreOperations,
    grantOperations,
    cryptographyOperations,
    taggingOperations,
  ].flatMap((family) => Object.entries(family)),
);

const operationsOfSts = new Map<string, Operation>(Object.entries(stsOperations));

/** Operations whose answer may be stale. */
const isRead = /^(Describe|Get|List)/;

/**
 * Milliseconds. Longer than clients keep a connection that they don't use: one that is closed from here just when a request
 * goes out would be an error of the way, which a real KMS hardly ever shows.
 */
const keepAliveTimeout = 75_000;

/** An HTTP server for the KMS whose state is in the store; it does not listen yet. */
export function buildServer(store: Store, settings: Settings): Server {
  const control: Control = {
    store,
    calls: new CallLog(),
    faults: new Faults(),
    clock: new Clock(store),
    settings,
    quotas: new Quotas(),
    staleReads: store.staleReads,
    forcedStates: new ForcedStates(),
    policyRenderer: new PolicyRenderer(),
  };
  applySettings(control);
  return createServer({ keepAliveTimeout }, (request, response) => {
    const isQuery = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false;
    const protocol = isQuery ? queryProtocol : jsonProtocol;
    answer(store, control, protocol, request, response).catch((error: unknown) => {
      if (response.destroyed) return;
      const failure = error instanceof KmsError ? error : new KmsError('KMSInternalException', String(error), 500);
      send(response, written(protocol, '', protocol.error(failure)));
    });
  });
}

async function answer(
  store: Store,
  control: Control,
  protocol: Protocol,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const body = await text(request);
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname.startsWith('/_local/')) {
    // A page anywhere can send a POST of plain text, and there are no pages of its own.
    if (request.headers.origin !== undefined) throw new KmsError('Forbidden', 'Pages may not control a local KMS', 403);
    const result = answerControl(control, request.method ?? 'GET', url, body === '' ? null : parseJson(body));
    return send(response, { status: 200, type: 'application/json', body: JSON.stringify(result) });
  }
  // A caller that spends quotas with care need not where there are none.
  response.setHeader('x-local-kms-quotas', control.settings.quotas === false ? 'none' : 'some');
  response.setHeader('date', new Date(control.clock.wallClock()).toUTCString());
  const caller = callerOf(request.headers, store.identities, control.clock.wallClock());
  const { operation, parameters: given } = protocol.read(request.headers, body);
  const parameters = withoutIgnored(control.settings, operation, given);
  const handler = (protocol === queryProtocol ? operationsOfSts : operations).get(operation);
  if (handler === undefined) throw new KmsError('UnknownOperationException', `Unknown operation ${operation}`);
  if (control.settings.latency_milliseconds > 0) await delay(control.settings.latency_milliseconds);
  const key = keyIn(parameters);
  const fault = control.faults.draw(operation, key);
  const context = { store, clock: control.clock, caller };
  const run = () => {
    // Before a read that may be stale: permissions are asked of the present.
    authorize(context, operation, parameters);
    const arn = key === null ? null : (arnNamed(context, key) ?? key);
    control.forcedStates.assertAllowed(operation, arn);
    const result = isRead.test(operation)
      ? store.staleReads.during(operation, () => handler(context, parameters))
      : handler(context, parameters);
    control.forcedStates.follow(operation, caller, arn, parameters);
    return control.policyRenderer.shown(control.forcedStates.shown(result), key);
  };
  return callWithFault(control, { operation, protocol, caller, parameters, fault }, run, response);
}

function withoutIgnored({ ignored_parameters: ignored }: Settings, operation: string, given: Parameters): Parameters {
  const names = ignored[operation];
  return names === undefined
    ? given
    : Object.fromEntries(Object.entries(given).filter(([name]) => !names.includes(name)));
}

/** What a call names as its key; null: it names none. */
function keyIn(parameters: Parameters): string | null {
  const key = parameters['KeyId'] ?? parameters['TargetKeyId'];
  return typeof key === 'string' ? key : null;
}

type Call = {
  operation: string;
  protocol: Protocol;
  caller: Caller;
  parameters: Parameters;
  fault: Fault | undefined;
};

function callWithFault(control: Control, call: Call, run: () => object, response: ServerResponse): void {
  const { fault, operation, protocol } = call;
  const outcome = fault === undefined || fault.carried_out ? attempt(control, call, run) : undefined;
  const failure = fault === undefined ? undefined : errorOf(fault);
  log(control, call, errorOnRecord(call, outcome, failure));
  const answer = failure ?? outcome ?? {};
  if (fault === undefined) send(response, written(protocol, operation, answer));
  else sendSpoilt(response, fault, written(protocol, operation, withSpoiltMember(fault, answer)));
}

/** What the call log says of a call: null where it was carried out, whatever its caller is told. */
function errorOnRecord({ fault, protocol }: Call, outcome: object | undefined, failure?: KmsError): string | null {
  const refusal = outcome ?? failure;
  if (refusal instanceof KmsError) return protocol.error(refusal).type;
  return outcome === undefined ? (fault?.kind ?? null) : null;
}

function attempt(control: Control, { caller, operation }: Call, run: () => object): object {
  try {
    control.quotas.spend(caller, operation);
    deleteDueKeys(control);
    return run();
  } catch (error) {
    if (error instanceof KmsError) return error;
    throw error;
  }
}

function log({ calls, clock }: Control, { operation, caller, parameters }: Call, error: string | null): void {
  calls.add({
    at: new Date(clock.now()).toISOString(),
    account: caller.account,
    caller: caller.arn,
    region: caller.region,
    operation,
    key_id: keyIn(parameters),
    parameters,
    error,
  });
}

/** An answer or an error, as its protocol writes it. */
function written(protocol: Protocol, operation: string, answer: object): Written {
  if (!(answer instanceof KmsError))
    return { status: 200, type: protocol.type, body: protocol.write(operation, answer) };
  const error = protocol.error(answer);
  return { status: error.status, type: protocol.type, body: protocol.writeError(error) };
}
