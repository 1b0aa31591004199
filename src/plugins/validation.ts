/** Checks input against the schemas, finds everything that is wrong at once, and says it in words. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import formats from 'ajv-formats';
import type { FastifyRequest, FastifySchemaValidationError } from 'fastify';
import fp from 'fastify-plugin';
import { pointerSegment } from '../domain/tags.ts';
import type { Violation } from '../domain/types.ts';
import { sharedSchemas } from '../schemas/common.ts';
import { historySchemas } from '../schemas/history.ts';
import { keySchemas } from '../schemas/key.ts';
import { planSchemas } from '../schemas/plan.ts';
import { providerSchemas } from '../schemas/provider.ts';
import { recoverySchemas } from '../schemas/recovery.ts';
import { rotationSchemas } from '../schemas/rotation.ts';
import { unmanagedSchemas } from '../schemas/unmanaged.ts';
import { ProblemError } from '../services/problems.ts';

const schemas = [
  ...sharedSchemas,
  ...keySchemas,
  ...historySchemas,
  ...planSchemas,
  ...recoverySchemas,
  ...rotationSchemas,
  ...unmanagedSchemas,
  ...providerSchemas,
];
/** The schemas are this project's own: that they are schemas, its tests hold, and not each start anew. */
const ownSchemas = { validateSchema: false, meta: false } as const;
const shared = {
  allErrors: true,
  strict: false,
  allowUnionTypes: true,
  useDefaults: false,
  removeAdditional: false,
  ...ownSchemas,
};

export default fp(
  async (app) => {
    // Parameters are texts and are converted; a body says itself what is a number, and "90" is none.
    const validators = {
      body: new Ajv({ ...shared, coerceTypes: false }),
      parameters: new Ajv({ ...shared, coerceTypes: 'array' }),
    };
    for (const ajv of Object.values(validators)) formats.default(ajv);
    for (const schema of schemas) {
      app.addSchema(schema);
      for (const ajv of Object.values(validators)) ajv.addSchema(schema);
    }
    app.addHook('preValidation', refuseUnknownQuery);
    app.setValidatorCompiler(({ schema, httpPart }) =>
      atFirstUse(validators[httpPart === 'body' ? 'body' : 'parameters'], schema as object),
    );
  },
  { name: 'validation' },
);

/** Most routes are not called for long after a start, and to make their validators was a tenth of its work. */
function atFirstUse(ajv: Ajv, schema: object) {
  let compiled: ValidateFunction | undefined;
  const validate = Object.assign(
    (data: unknown) => {
      compiled ??= ajv.compile(schema);
      const isValid = compiled(data);
      validate.errors = compiled.errors ?? null;
      return isValid;
    },
    { errors: null as ErrorObject[] | null },
  );
  return validate;
}

/**
 * A route without a schema for its query takes none: `?dry_run=true` must not be dropped in silence.
 * @throws ProblemError malformed-request
 */
async function refuseUnknownQuery(request: FastifyRequest): Promise<void> {
  const { schema, url = '' } = request.routeOptions;
  if (request.is404 || schema?.querystring !== undefined || !url.startsWith('/v1/')) return;
  const errors = Object.keys(request.query as object).map((pointer) => ({
    pointer,
    detail: 'There is no such parameter here.',
  }));
  if (errors.length === 0) return;
  const names = errors.map(({ pointer }) => pointer).join(', ');
  throw new ProblemError('malformed-request', `There is no query parameter ${names} here.`, { errors });
}

/** What the schema finds wrong with a body, each with its place. */
export function bodyViolations(errors: readonly FastifySchemaValidationError[]): Violation[] {
  return distinct((errors as ErrorObject[]).map((error) => ({ pointer: pointerOf(error), detail: describe(error) })));
}

/** What the schema finds wrong with the query or the path; `pointer` is the parameter's name. */
export function parameterViolations(errors: readonly FastifySchemaValidationError[]): Violation[] {
  return distinct(
    (errors as ErrorObject[]).map((error) => ({ pointer: pointerOf(error).slice(1), detail: describe(error) })),
  );
}

function pointerOf({ instancePath, keyword, params }: ErrorObject): string {
  if (keyword === 'additionalProperties') {
    return `${instancePath}/${pointerSegment(String(params['additionalProperty']))}`;
  }
  if (keyword === 'required') return `${instancePath}/${pointerSegment(String(params['missingProperty']))}`;
  return instancePath;
}

function describe({ keyword, params, message, instancePath }: ErrorObject): string {
  switch (keyword) {
    case 'additionalProperties':
      return 'There is no such field here; see /docs for those there are.';
    case 'required':
      return 'This is needed.';
    case 'type':
      return `It must be ${[params['type']].flat().map(typeInWords).join(' or ')}.`;
    case 'enum': {
      const values = (params['allowedValues'] as unknown[]).filter((value) => value !== null);
      return `It must be one of ${values.join(', ')}.`;
    }
    case 'minimum':
      return `It must be ${params['limit']} or more.`;
    case 'maximum':
      return `It must be ${params['limit']} or less.`;
    case 'minLength':
      return `It must have at least ${params['limit']} character${params['limit'] === 1 ? '' : 's'}.`;
    case 'pattern':
      return `It must match ${params['pattern']}.`;
    case 'maxLength':
      return `It must have at most ${params['limit']} characters.`;
    default:
      return `${instancePath || 'The input'} ${message ?? 'is not right'}.`;
  }
}

function typeInWords(type: unknown): string {
  const words: Record<string, string> = {
    string: 'a string',
    integer: 'a whole number',
    number: 'a number',
    boolean: 'true or false',
    object: 'an object',
    array: 'a list',
    null: 'null',
  };
  return words[String(type)] ?? String(type);
}

/** A field of the wrong type breaks its other limits too; one word on it is enough. */
function distinct(violations: Violation[]): Violation[] {
  const seen = new Set<string>();
  return violations.filter(({ pointer }) => !seen.has(pointer) && seen.add(pointer));
}
