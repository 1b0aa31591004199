/** Sends answers: as they are, or as a fault on purpose spoils them on the way. */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { KmsError } from './errors.ts';
import type { Fault } from './faults.ts';

/** What goes on the wire. */
export type Written = { status: number; type: string; body: string };

export function send(response: ServerResponse, { status, type, body }: Written): void {
  response.writeHead(status, headersOf(type)).end(body);
}

function headersOf(type: string) {
  return { 'content-type': type, 'x-amzn-requestid': randomUUID() };
}

/** Sends what is left of an answer when a fault has befallen it. */
export function sendSpoilt(response: ServerResponse, fault: Fault, answer: Written): void {
  switch (fault.kind) {
    case 'reset_before_effect':
    case 'reset_after_effect':
      response.socket?.resetAndDestroy();
      break;
    case 'no_answer_before_effect':
    case 'no_answer_after_effect':
      break;
    case 'html':
      send(response, page(fault.status ?? 200));
      break;
    case 'truncated':
      truncate(response, answer, fault.told_length ?? 'whole');
      break;
    case 'stalled':
      response.writeHead(answer.status, {
        ...headersOf(answer.type),
        'content-length': Buffer.byteLength(answer.body),
      });
      response.write(half(answer.body));
      break;
    case 'oversized':
      void swell(response, answer, fault.bytes === undefined ? usualSize : fault.bytes);
      break;
    default:
      send(response, answer);
  }
}

/** As a proxy, a firewall or a web server answers that knows nothing of KMS. */
function page(status: number): Written {
  const body = `<!DOCTYPE html>\n<html><head><title>${status}</title></head><body><h1>${status}</h1></body></html>\n`;
  return { status, type: 'text/html; charset=utf-8', body };
}

function half(body: string): string {
  return body.slice(0, Math.ceil(body.length / 2));
}

/** A head that is whole, half of the body, and the end of the connection. */
function truncate(response: ServerResponse, { status, type, body }: Written, told: 'whole' | 'part'): void {
  const part = half(body);
  const length = Buffer.byteLength(told === 'whole' ? body : part);
  response.writeHead(status, { ...headersOf(type), 'content-length': length, connection: 'close' });
  if (told === 'part') response.end(part);
  else response.write(part, () => response.destroy());
}

const usualSize = 64 * 1024 * 1024;
const filler = 'x'.repeat(64 * 1024);

/** An answer with a member that goes on and on, as long as somebody reads it. */
async function swell(response: ServerResponse, { status, type }: Written, bytes: number | null): Promise<void> {
  response.writeHead(status, headersOf(type));
  await pipeline(Readable.from(swollen(bytes)), response).catch(() => {});
}

function* swollen(bytes: number | null): Generator<string> {
  yield '{"Filler":"';
  for (let sent = 0; bytes === null || sent < bytes; sent += filler.length) yield filler;
  yield '"}';
}

/** An answer in which a fault leaves a member out, or puts another value. */
export function withSpoiltMember({ kind, member, value }: Fault, answer: object): object {
  if (member === undefined || answer instanceof KmsError) return answer;
  return spoilt(answer, member.split('.'), kind === 'changed_field' ? { value } : null);
}

function spoilt(answer: object, [name = '', ...rest]: string[], change: { value: unknown } | null): object {
  const members = answer as Record<string, unknown>;
  const inner = members[name];
  if (rest.length > 0) {
    const isParent = inner !== null && typeof inner === 'object';
    return isParent ? { ...members, [name]: spoilt(inner, rest, change) } : answer;
  }
  if (change !== null) return { ...members, [name]: change.value };
  return Object.fromEntries(Object.entries(members).filter(([other]) => other !== name));
}
