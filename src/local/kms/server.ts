/**
 * The HTTP edge: AWS's JSON 1.1 protocol for KMS, the query protocol for STS, and the control endpoint. On node:http,
 * since faults on purpose reach below what a framework lets one do: reset a connection, never answer.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { authorize } from './authorization.ts';
import { CallLog } from './call-log.ts';
import { callerOf } from './caller.ts';
import { Clock } from './clock.ts';
import type { Caller, Operation } from './context.ts';
import { answerControl, type Control } from './control.ts';
import { KmsError } from './errors.ts';
import { errorOf, type Fault, Faults } from './faults.ts';
import { aliasOperations } from './operations/aliases.ts';
import { keyStoreOperations } from './operations/key-stores.ts';
import { keyOperations } from './operations/keys.ts';
import { policyOperations } from './operations/policies.ts';
import { deleteDueKeys, replicaOperations } from './operations/replicas.ts';
import { rotationOperations } from './operations/rotation.ts';
import { stsOperations } from './operations/sts.ts';
import { taggingOperations } from './operations/tagging-api.ts';
import { tagOperations } from './operations/tags.ts';
import type { Parameters } from './parameters.ts';
import { jsonProtocol, type Protocol, parseJson, queryProtocol } from './protocols.ts';
import { Quotas } from './quotas.ts';
import { applySettings, type Settings } from './settings.ts';
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
  const { staleReads } = store;
  const quotas = new Quotas();
  applySettings(settings, quotas, staleReads);
  const clock = new Clock(store);
  const control: Control = { store, calls: new CallLog(), faults: new Faults(), clock, settings, quotas, staleReads };
  return createServer({ keepAliveTimeout }, (request, response) => {
    const isQuery = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false;
    const protocol = isQuery ? queryProtocol : jsonProtocol;
    answer(store, control, protocol, request, response).catch((error: unknown) => {
      if (response.destroyed) return;
      const failure = error instanceof KmsError ? error : new KmsError('KMSInternalException', String(error), 500);
      sendError(response, protocol, protocol.error(failure));
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
    const result = answerControl(control, request.method ?? 'GET', url, body === '' ? null : parseJson(body));
    return send(response, 200, JSON.stringify(result), 'application/json');
  }
  // A caller that spends quotas with care need not where there are none.
  if (control.settings.quotas === false) response.setHeader('x-local-kms-quotas', 'none');
  const caller = callerOf(request.headers, store.identities);
  const { operation, parameters } = protocol.read(request.headers, body);
  const handler = (protocol === queryProtocol ? operationsOfSts : operations).get(operation);
  if (handler === undefined) throw new KmsError('UnknownOperationException', `Unknown operation ${operation}`);
  if (control.settings.latency_milliseconds > 0) await delay(control.settings.latency_milliseconds);
  const fault = control.faults.draw(operation);
  const context = { store, clock: control.clock, caller };
  const run = () => {
    // Before a read that may be stale: permissions are asked of the present.
    authorize(context, operation, parameters);
    return isRead.test(operation)
      ? store.staleReads.during(operation, () => handler(context, parameters))
      : handler(context, parameters);
  };
  return callWithFault(control, { operation, protocol, caller, parameters, fault }, run, response, store);
}

type Call = {
  operation: string;
  protocol: Protocol;
  caller: Caller;
  parameters: Parameters;
  fault: Fault | undefined;
};

function callWithFault(control: Control, call: Call, run: () => object, response: ServerResponse, store: Store): void {
  const { fault, operation, protocol } = call;
  if (fault?.kind.endsWith('before_effect')) {
    log(control, call, fault.kind);
    if (fault.kind === 'reset_before_effect') reset(response);
    return;
  }
  const outcome = attempt(() => {
    const failure = fault === undefined ? undefined : errorOf(fault);
    if (failure !== undefined) throw failure;
    control.quotas.spend(call.caller, operation);
    deleteDueKeys({ store, clock: control.clock });
    return run();
  });
  const result = outcome instanceof KmsError ? protocol.error(outcome) : outcome;
  log(control, call, result instanceof KmsError ? result.type : null);
  if (fault?.kind === 'no_answer_after_effect') return;
  if (fault?.kind === 'reset_after_effect') reset(response);
  else if (result instanceof KmsError) sendError(response, protocol, result);
  else send(response, 200, protocol.write(operation, result), protocol.type);
}

function attempt(run: () => object): object | KmsError {
  try {
    return run();
  } catch (error) {
    if (error instanceof KmsError) return error;
    throw error;
  }
}

function log({ calls, clock }: Control, { operation, caller, parameters }: Call, error: string | null): void {
  const keyId = parameters['KeyId'] ?? parameters['TargetKeyId'];
  calls.add({
    at: new Date(clock.now()).toISOString(),
    account: caller.account,
    caller: caller.arn,
    region: caller.region,
    operation,
    key_id: typeof keyId === 'string' ? keyId : null,
    parameters,
    error,
  });
}

function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy();
}

function sendError(response: ServerResponse, protocol: Protocol, error: KmsError): void {
  send(response, error.status, protocol.writeError(error), protocol.type);
}

function send(response: ServerResponse, status: number, body: string, type: string): void {
  response.writeHead(status, { 'content-type': type, 'x-amzn-requestid': randomUUID() }).end(body);
}
