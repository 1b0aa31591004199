/**
 * The HTTP edge: AWS's JSON 1.1 protocol for KMS, the query protocol for STS, and the control endpoint. On node:http,
 * since faults on purpose reach below what a framework lets one do: reset a connection, never answer.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
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
import { taggingOperations } from './operations/tagging-api.ts';
import { tagOperations } from './operations/tags.ts';
import type { Parameters } from './parameters.ts';
import { Quotas } from './quotas.ts';
import { applySettings, type Settings } from './settings.ts';
import type { Store } from './store.ts';
import { answerSts } from './sts.ts';

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

const target = /^(?:TrentService|ResourceGroupsTaggingAPI_20170126)\.(\w+)$/;
/** Operations whose answer may be stale. */
const isRead = /^(Describe|Get|List)/;

/** An HTTP server for the KMS whose state is in the store; it does not listen yet. */
export function buildServer(store: Store, settings: Settings): Server {
  const { staleReads } = store;
  const quotas = new Quotas();
  applySettings(settings, quotas, staleReads);
  const clock = new Clock(store);
  const control: Control = { store, calls: new CallLog(), faults: new Faults(), clock, settings, quotas, staleReads };
  return createServer((request, response) => {
    answer(store, control, request, response).catch((error: unknown) => {
      if (response.destroyed) return;
      const failure = error instanceof KmsError ? error : new KmsError('KMSInternalException', String(error), 500);
      sendJson(response, failure.status, { __type: failure.type, message: failure.message });
    });
  });
}

async function answer(store: Store, control: Control, request: IncomingMessage, response: ServerResponse) {
  const body = await text(request);
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname.startsWith('/_local/')) {
    const result = answerControl(control, request.method ?? 'GET', url, body === '' ? null : parseJson(body));
    return sendJson(response, 200, result, 'application/json');
  }
  const caller = callerOf(request.headers);
  if (request.headers['content-type']?.startsWith('application/x-www-form-urlencoded')) {
    const { status, xml } = answerSts(caller, body);
    return response.writeHead(status, { 'content-type': 'text/xml' }).end(xml);
  }
  const operation = target.exec(String(request.headers['x-amz-target']))?.[1] ?? '';
  const handler = operations.get(operation);
  if (handler === undefined) throw new KmsError('UnknownOperationException', `Unknown operation ${operation}`);
  const parameters = parseParameters(body);
  if (control.settings.latency_milliseconds > 0) await delay(control.settings.latency_milliseconds);
  const fault = control.faults.draw(operation);
  const run = () => handler({ store, clock: control.clock, caller }, parameters);
  return callWithFault(control, { operation, caller, parameters, fault }, run, response, store);
}

type Call = { operation: string; caller: Caller; parameters: Parameters; fault: Fault | undefined };

function callWithFault(control: Control, call: Call, run: () => object, response: ServerResponse, store: Store): void {
  const { fault } = call;
  if (fault?.kind.endsWith('before_effect')) {
    log(control, call, fault.kind);
    if (fault.kind === 'reset_before_effect') reset(response);
    return;
  }
  const result = attempt(() => {
    const failure = fault === undefined ? undefined : errorOf(fault);
    if (failure !== undefined) throw failure;
    control.quotas.spend(call.caller, call.operation);
    deleteDueKeys({ store, clock: control.clock });
    return isRead.test(call.operation) ? store.staleReads.during(call.operation, run) : run();
  });
  log(control, call, result instanceof KmsError ? result.type : null);
  if (fault?.kind === 'no_answer_after_effect') return;
  if (fault?.kind === 'reset_after_effect') reset(response);
  else if (result instanceof KmsError) {
    sendJson(response, result.status, { __type: result.type, message: result.message });
  } else sendJson(response, 200, result);
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
    region: caller.region,
    operation,
    key_id: typeof keyId === 'string' ? keyId : null,
    parameters,
    error,
  });
}

function parseParameters(body: string): Parameters {
  const value = body === '' ? {} : parseJson(body);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new KmsError('SerializationException', 'The body is not a JSON object');
  }
  return value as Parameters;
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new KmsError('SerializationException', 'The body is not valid JSON');
  }
}

function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy();
}

function sendJson(response: ServerResponse, status: number, body: object, type = 'application/x-amz-json-1.1'): void {
  response.writeHead(status, { 'content-type': type, 'x-amzn-requestid': randomUUID() }).end(JSON.stringify(body));
}
