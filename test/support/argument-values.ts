/** Values of arguments, out of their schemas: a test that goes by these has each new argument in it. */
import { type ArgumentName, type DeclaredKey, nothingDeclared } from '../../src/domain/arguments.ts';
import type { Json } from '../../src/domain/types.ts';
import { KeyCreate, keySchemas } from '../../src/schemas/key.ts';

type Schema = {
  anyOf?: { $ref?: string }[];
  type?: string | string[];
  enum?: Json[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  pattern?: string;
  examples?: Json[];
};

/** What stands for an argument: a set of values has a schema of its own. */
function schemaOf(name: ArgumentName): Schema {
  const schema = KeyCreate.properties[name] as Schema;
  const target = schema.anyOf?.[0]?.$ref?.slice(0, -1);
  return (keySchemas.find((one) => (one as { $id?: string }).$id === target) ?? schema) as Schema;
}

/**
 * Some values that an argument may have, at least one that is not its default among them.
 * @throws when its schema does not tell: a text with a pattern needs examples, and an object is drawn otherwise.
 */
export function valuesOf<Name extends ArgumentName>(name: Name): DeclaredKey[Name][] {
  const none = nothingDeclared[name] === null ? [null] : [];
  return [...none, ...valuesIn(name, schemaOf(name))] as DeclaredKey[Name][];
}

function valuesIn(name: ArgumentName, schema: Schema): Json[] {
  const { type = [], enum: values, examples, pattern, minimum = 0, maximum = minimum + 1, minLength = 0 } = schema;
  if (values !== undefined) return values.filter((value) => value !== null);
  if (examples !== undefined) return examples;
  if (type.includes('boolean')) return [false, true];
  if (type.includes('integer')) return [minimum, maximum];
  if (type.includes('string') && pattern === undefined)
    return ['', 'a', 'b'].map((end) => end.padStart(minLength, 'x'));
  throw new Error(`The schema of ${name} tells no values of it: give it examples`);
}

/** Those that are neither the default nor null. */
export function othersThanDefault(name: ArgumentName): Json[] {
  return valuesOf(name).filter((value) => value !== null && value !== nothingDeclared[name]);
}
