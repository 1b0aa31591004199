/** Reads the parameters of a query as what their schema says they are, and takes no others. */
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { unstorableText } from '../domain/text.ts';
import type { ViolationCode } from '../domain/types.ts';
import { commaSeparated } from '../schemas/common.ts';
import { type ParameterFault, ProblemError } from '../services/problems.ts';

type Schema = { type?: string; properties?: Record<string, Schema> };

export default fp(
  async (app) => {
    app.addHook('preValidation', readQuery);
  },
  { name: 'parameters' },
);

/** @throws ProblemError malformed-request */
async function readQuery(request: FastifyRequest): Promise<void> {
  const { schema, url = '' } = request.routeOptions;
  if (request.is404 || !url.startsWith('/v1/')) return;
  const query = request.query as Record<string, unknown>;
  const { properties } = (schema?.querystring ?? { properties: {} }) as Schema;
  const faults = Object.entries(query).flatMap(([name, value]) => faultsOf(name, value, properties));
  if (faults.length > 0) throw badParameters(faults);
  for (const [name, value] of Object.entries(query)) query[name] = converted(name, value, properties?.[name] ?? {});
}

/** A parameter that a route does not know must not be dropped in silence, `dry_run=true` above all. */
function faultsOf(name: string, value: unknown, properties: Schema['properties']): ParameterFault[] {
  const told = (code: ViolationCode, detail: string) => [{ parameter: name, code, detail }];
  if (properties !== undefined && !Object.hasOwn(properties, name))
    return told('unknown_parameter', 'There is no such parameter here.');
  const isUnstorable = [value].flat().some((text) => typeof text === 'string' && unstorableText(text));
  return isUnstorable ? told('invalid_text', 'The value has a NUL character or half of a surrogate pair in it.') : [];
}

/** @param errors at least one. */
export function badParameters(errors: ParameterFault[]): ProblemError {
  const detail = errors.map(({ parameter, detail }) => `${parameter}: ${detail}`).join(' ');
  return new ProblemError('malformed-request', detail, { errors });
}

/** A header that can't be taken. @param name as OpenAPI has it. */
export function badHeader(name: string, detail: string): ProblemError {
  return badParameters([{ parameter: name, code: 'invalid_format', detail }]);
}

/** What is not written as its type is left as it is, for the validation to find: `0x10`, `1e1` and ` 5` are no whole numbers. */
function converted(name: string, value: unknown, { type }: Schema): unknown {
  if (type === 'array') {
    const texts = [value].flat();
    return commaSeparated.has(name) ? texts.flatMap((text) => String(text).split(',')) : texts;
  }
  if (typeof value !== 'string') return value;
  if (type === 'integer' && /^-?\d{1,15}$/.test(value)) return Number(value);
  if (type === 'boolean' && /^(true|false)$/.test(value)) return value === 'true';
  return value;
}
