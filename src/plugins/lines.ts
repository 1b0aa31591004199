/** Reads bodies of many lines, each of which is JSON: as strictly as a body of one value, and not all at once. */
import { setImmediate } from 'node:timers/promises';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { unstorableTexts } from '../domain/text.ts';
import type { Json, Violation } from '../domain/types.ts';
import { isUuid } from '../domain/uuid.ts';
import { type KeyDeclaration, linesType } from '../schemas/key-lines.ts';
import type { DeclaredLine } from '../services/commands/apply.ts';
import { invalidInput, ProblemError } from '../services/problems.ts';
import { standardProvider } from '../services/providers/settings.ts';
import { jsonReader, bodyLimit as lineLimit, textOf } from './bodies.ts';

/** Bytes of a whole body. */
const linesLimit = 16 * 1024 * 1024;
export const mostLines = 5000;
/** What is read of a body before other requests have their turn, in characters. */
const turn = 256 * 1024;
/** Its lines are read in turns: it holds up others less than one value of that size. */
const lightness = 4;
/** What is wrong is told of so many lines. */
const mostTold = 100;

/** How many lines are checked before other requests have their turn. */
const linesOfTurn = 50;

/** A line with something on it. `line`: its number, from 1 on. */
type Line = { line: number; value: unknown };

/** Lets the routes of this instance take lines. Lines with nothing on them are skipped; a body without any counts as none. */
export function acceptLines(app: FastifyInstance): void {
  const read = jsonReader(app, 'The line');
  app.removeContentTypeParser('application/json');
  const options = { parseAs: 'buffer', bodyLimit: linesLimit } as const;
  app.addContentTypeParser(linesType, options, async (request: FastifyRequest, body: Buffer) => {
    await app.countBody(request, body.length / lightness);
    const text = textOf(body);
    if (text.trimStart().startsWith('[')) return linesOfArray(await readArray(read, request, text));
    const texts = linesOf(text);
    const found: Line[] = [];
    const faults: Violation[] = [];
    let [sinceTurn, broken] = [0, 0];
    for (const [line, text] of texts) {
      const { value, losses } = await readLine(read, request, text);
      found.push({ line, value });
      faults.push(...losses.map((loss) => ({ ...loss, line })));
      broken += losses.length > 0 ? 1 : 0;
      if (broken === mostTold) break;
      sinceTurn += text.length;
      if (sinceTurn < turn) continue;
      sinceTurn = 0;
      await setImmediate();
    }
    if (faults.length > 0) throw invalidInput(faults);
    return found.length === 0 ? undefined : found;
  });
}

/**
 * What clients make of a list that know of JSON alone, as generated ones do.
 * @throws ProblemError body-too-large, malformed-request, invalid-input
 */
async function readArray(read: ReturnType<typeof jsonReader>, request: FastifyRequest, text: string) {
  if (Buffer.byteLength(text) > lineLimit) {
    throw new ProblemError(
      'body-too-large',
      `A JSON array has at most ${lineLimit} bytes: send an object on each line.`,
    );
  }
  const { value, losses } = await read(request, text);
  const placed = losses.map((loss): Violation => {
    const [, index = '', ...rest] = loss.pointer.split('/');
    return { ...loss, line: Number(index) + 1, pointer: rest.map((segment) => `/${segment}`).join('') };
  });
  if (placed.length > 0) throw invalidInput(placed);
  return value as unknown[];
}

/** Each element counts as a line. @throws ProblemError body-too-large */
function linesOfArray(values: unknown[]): Line[] | undefined {
  if (values.length > mostLines) {
    throw new ProblemError('body-too-large', `The body has more than ${mostLines} elements: send it in parts.`);
  }
  return values.length === 0 ? undefined : values.map((value, index) => ({ line: index + 1, value }));
}

/** Those with something on them. @throws ProblemError body-too-large */
function linesOf(text: string): [line: number, text: string][] {
  const lines: [number, string][] = [];
  for (let [line, start] = [1, 0]; start < text.length; line += 1) {
    if (line > mostLines) {
      throw new ProblemError('body-too-large', `The body has more than ${mostLines} lines: send it in parts.`);
    }
    const end = text.indexOf('\n', start);
    const one = text.slice(start, end === -1 ? undefined : end);
    if (one.trim() !== '') lines.push([line, one]);
    start = end === -1 ? text.length : end + 1;
  }
  return lines;
}

/**
 * The keys that a body of lines declares.
 * @param check what is wrong with a line, by its schema.
 * @throws ProblemError invalid-input with what is wrong with each line; malformed-request where there is none.
 */
export async function declaredLinesIn(
  { body }: FastifyRequest,
  check: (value: unknown) => Violation[],
): Promise<DeclaredLine[]> {
  if (body === undefined || body === null) {
    throw new ProblemError(
      'malformed-request',
      `The request needs a body of type ${linesType}: a JSON object on each line.`,
    );
  }
  const faults: Violation[] = [];
  const declared: DeclaredLine[] = [];
  let broken = 0;
  for (const [index, { line, value }] of (body as Line[]).entries()) {
    if (index % linesOfTurn === 0) await setImmediate();
    const violations = [...check(value), ...unstorableTexts(value as Json)];
    const names = namesIn(value);
    const all = [...violations, ...(violations.length === 0 ? names.violations : [])];
    faults.push(...all.map((violation) => ({ ...violation, line })));
    broken += all.length > 0 ? 1 : 0;
    if (broken === mostTold) break;
    if (all.length === 0) declared.push({ line, ...names.declared, input: { body: names.rest, violations: [] } });
  }
  if (faults.length > 0) throw invalidInput(faults);
  return declared;
}

const arnOfKey = /^arn:[^:]+:kms:[^:]+:\d{12}:key\/([^/:]+)$/;

/** What a line says of which key it is, and what is wrong with that. */
function namesIn(value: unknown) {
  const {
    id,
    arn = null,
    key_id: keyId = null,
    replica_of: replicaOf = null,
    ...rest
  } = (value ?? {}) as Partial<KeyDeclaration>;
  const ofArn = arn === null ? null : (arnOfKey.exec(arn)?.[1] ?? null);
  const violations: Violation[] = [];
  if (!isUuid(String(id))) violations.push({ pointer: '/id', code: 'invalid_format', detail: 'It must be a UUID.' });
  if (arn !== null && ofArn === null) {
    violations.push({
      pointer: '/arn',
      code: 'invalid_format',
      detail: 'It must be the ARN of a key, not of an alias.',
    });
  }
  if (keyId !== null && /[/:]/.test(keyId)) {
    const detail = 'It must be the id of a key in KMS: not its ARN, and not an alias, which may move.';
    violations.push({ pointer: '/key_id', code: 'invalid_format', detail });
  } else if (keyId !== null && ofArn !== null && keyId !== ofArn) {
    violations.push({ pointer: '/key_id', code: 'incompatible', detail: `It is not the key of ${arn}.` });
  }
  const kmsKey = (ofArn ?? keyId) === null ? null : { arn, key_id: ofArn ?? keyId ?? '' };
  const declared = {
    id: String(id).toLowerCase(),
    kmsKey,
    replicaOf: replicaOf === null ? null : String(replicaOf).toLowerCase(),
    provider: rest.provider ?? standardProvider,
  };
  return { declared, rest, violations };
}

async function readLine(read: ReturnType<typeof jsonReader>, request: FastifyRequest, text: string) {
  const fault = (code: Violation['code'] & string, detail: string) => ({
    value: null,
    losses: [{ pointer: '', code, detail }],
  });
  if (Buffer.byteLength(text) > lineLimit) return fault('too_long', `A line has at most ${lineLimit} bytes.`);
  try {
    return await read(request, text);
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    return fault('invalid_format', error.message);
  }
}
