/** Checks input against the schemas, finds everything that is wrong at once, and says it in words. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import formats from 'ajv-formats';
import type { FastifySchemaValidationError } from 'fastify';
import fp from 'fastify-plugin';
import { pointerSegment } from '../domain/pointer.ts';
import type { Violation, ViolationCode } from '../domain/types.ts';
import { accessSchemas } from '../schemas/access.ts';
import { sharedSchemas } from '../schemas/common.ts';
import { grantSchemas } from '../schemas/grant.ts';
import { historySchemas } from '../schemas/history.ts';
import { importSchemas } from '../schemas/imports.ts';
import { keySchemas } from '../schemas/key.ts';
import { keyLineSchemas } from '../schemas/key-lines.ts';
import { keyListSchemas } from '../schemas/key-list.ts';
import { planSchemas } from '../schemas/plan.ts';
import { providerSchemas } from '../schemas/provider.ts';
import { recoverySchemas } from '../schemas/recovery.ts';
import { rotationSchemas } from '../schemas/rotation.ts';
import { unmanagedSchemas } from '../schemas/unmanaged.ts';
import type { ParameterFault } from '../services/problems.ts';

/** What other schemas refer to by name. */
export const schemas = [
  ...sharedSchemas,
  ...keySchemas,
  ...keyLineSchemas,
  ...keyListSchemas,
  ...historySchemas,
  ...planSchemas,
  ...recoverySchemas,
  ...rotationSchemas,
  ...grantSchemas,
  ...unmanagedSchemas,
  ...importSchemas,
  ...providerSchemas,
  ...accessSchemas,
];
/** The schemas are this project's own: that they are schemas, its tests hold, and not each start anew. */
const ownSchemas = { validateSchema: false, meta: false } as const;
const options = {
  allErrors: true,
  strict: false,
  allowUnionTypes: true,
  coerceTypes: false,
  useDefaults: false,
  removeAdditional: false,
  ...ownSchemas,
};

declare module 'fastify' {
  interface FastifyInstance {
    /** Checks values against a schema apart from requests: for each, what is wrong with it. */
    checkerOf(schema: object): (value: unknown) => Violation[];
  }
}

const ajv = new Ajv(options);
formats.default(ajv);
for (const schema of schemas) ajv.addSchema(schema);

export default fp(
  async (app) => {
    for (const schema of schemas) app.addSchema(schema);
    app.setValidatorCompiler(({ schema }) => atFirstUse(schema as object));
    app.decorate('checkerOf', (schema) => {
      const validate = atFirstUse(schema);
      return (value) =>
        validate(value) ? [] : bodyViolations((validate.errors ?? []) as FastifySchemaValidationError[]);
    });
  },
  { name: 'validation' },
);

/** By the text of their schema: a process in which one service follows another, as in tests, makes each once. */
const validators = new Map<string, ValidateFunction>();

function validatorOf(schema: object): ValidateFunction {
  const text = JSON.stringify(schema);
  const validator = validators.get(text) ?? ajv.compile(schema);
  validators.set(text, validator);
  return validator;
}

/** Most routes are not called for long after a start, and to make their validators was a tenth of its work. */
function atFirstUse(schema: object) {
  let compiled: ValidateFunction | undefined;
  const validate = Object.assign(
    (data: unknown) => {
      compiled ??= validatorOf(schema);
      const isValid = compiled(data);
      validate.errors = compiled.errors ?? null;
      return isValid;
    },
    { errors: null as ErrorObject[] | null },
  );
  return validate;
}

/** What the schema finds wrong with a body, each with its place. */
export function bodyViolations(errors: readonly FastifySchemaValidationError[]): Violation[] {
  const ofValues = (errors as ErrorObject[]).filter(isOfAValue);
  const parents = new Set(ofValues.flatMap((error) => parentsOf(pointerOf(error))));
  return distinct(
    ofValues
      .filter((error) => isOfTheTypeThatIsMeant(error, parents))
      .map((error) => ({ pointer: pointerOf(error), code: codeOf(error), detail: describe(error) })),
  );
}

/** What the schema finds wrong with the query, the path or a header. */
export function parameterFaults(errors: readonly FastifySchemaValidationError[]): ParameterFault[] {
  const faults = bodyViolations(errors).map(({ pointer, code, detail }) => ({
    parameter: pointer.split('/')[1] ?? '',
    ...(code === undefined ? {} : { code: code === 'unknown_field' ? ('unknown_parameter' as const) : code }),
    detail,
  }));
  // What is wrong with many values of a parameter in the same way is told once: it has no place in the list.
  return [...new Map(faults.map((fault) => [`${fault.parameter}\n${fault.detail}`, fault])).values()];
}

/** Where a value or null is right, what is wrong with a value is all there is to say. */
function isOfAValue({ keyword, params }: ErrorObject): boolean {
  return keyword !== 'anyOf' && params['type'] !== 'null';
}

/** What may be a text or an object, and is an object, is no bad text: what is wrong with its members is all there is to say. */
function isOfTheTypeThatIsMeant({ keyword, instancePath }: ErrorObject, parents: Set<string>): boolean {
  return (keyword !== 'type' && keyword !== 'enum') || !parents.has(instancePath);
}

/** The places around a place: few, as deep as the schemas are. To look for them among all faults takes a minute for a large body. */
function parentsOf(pointer: string): string[] {
  const names = pointer.split('/');
  return names.slice(1).map((_name, index) => names.slice(0, index + 1).join('/'));
}

function pointerOf({ instancePath, keyword, params }: ErrorObject): string {
  if (keyword === 'additionalProperties') {
    return `${instancePath}/${pointerSegment(String(params['additionalProperty']))}`;
  }
  if (keyword === 'required') return `${instancePath}/${pointerSegment(String(params['missingProperty']))}`;
  return instancePath;
}

const codes: Record<string, ViolationCode> = {
  additionalProperties: 'unknown_field',
  required: 'required',
  type: 'invalid_type',
  enum: 'invalid_value',
  const: 'invalid_value',
  minimum: 'out_of_range',
  maximum: 'out_of_range',
  exclusiveMinimum: 'out_of_range',
  exclusiveMaximum: 'out_of_range',
  minLength: 'too_short',
  minItems: 'too_short',
  maxLength: 'too_long',
  maxItems: 'too_many',
  maxProperties: 'too_many',
  pattern: 'invalid_format',
  format: 'invalid_format',
};

function codeOf({ keyword }: ErrorObject): ViolationCode {
  return codes[keyword] ?? 'invalid';
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
