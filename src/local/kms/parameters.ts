/** Reads the members of a request: types, lengths and sets, as the API's model has them. */
import { constraint, KmsError, validation } from './errors.ts';

/** A request's JSON object. Members that the operation does not know are ignored, as AWS does. */
export type Parameters = Record<string, unknown>;

function wrongType(member: string, wanted: string): KmsError {
  return new KmsError('SerializationException', `${member} must be ${wanted}`);
}

/** The member's name as validation messages spell it: its first letter small. */
function spelled(member: string): string {
  return member.charAt(0).toLowerCase() + member.slice(1);
}

export function optionalString(parameters: Parameters, member: string, limits: { min?: number; max?: number } = {}) {
  const value = parameters[member];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw wrongType(member, 'a string');
  return checkLength(value, spelled(member), limits);
}

export function checkLength(value: string, member: string, { min, max }: { min?: number; max?: number }): string {
  if (min !== undefined && value.length < min) {
    throw constraint(value, member, `have length greater than or equal to ${min}`);
  }
  if (max !== undefined && value.length > max)
    throw constraint(value, member, `have length less than or equal to ${max}`);
  return value;
}

export function requiredString(parameters: Parameters, member: string, limits: { min?: number; max?: number } = {}) {
  const value = optionalString(parameters, member, limits);
  if (value === undefined) throw constraint(null, spelled(member), 'not be null');
  return value;
}

export function optionalOneOf<Value extends string>(parameters: Parameters, member: string, values: readonly Value[]) {
  const value = optionalString(parameters, member);
  if (value === undefined) return undefined;
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) throw constraint(value, spelled(member), `satisfy enum value set: [${values.join(', ')}]`);
  return found;
}

export function optionalInteger(parameters: Parameters, member: string, min: number, max: number): number | undefined {
  const value = parameters[member];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value)) throw wrongType(member, 'an integer');
  if (value < min) throw constraint(value, spelled(member), `have value greater than or equal to ${min}`);
  if (value > max) throw constraint(value, spelled(member), `have value less than or equal to ${max}`);
  return value;
}

export function optionalBoolean(parameters: Parameters, member: string): boolean | undefined {
  const value = parameters[member];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw wrongType(member, 'a boolean');
  return value;
}

export function requiredList(parameters: Parameters, member: string): unknown[] {
  const value = parameters[member];
  if (value === undefined || value === null) throw constraint(null, spelled(member), 'not be null');
  if (!Array.isArray(value)) throw wrongType(member, 'a list');
  return value;
}

/** Tabs and line ends apart, control characters. That AWS refuses them is seen, and not documented; nor is its answer. */
const controlCharacters = /[^\P{Cc}\t\n\r]/u;

/** A key's description. @throws KmsError ValidationException */
export function readDescription(parameters: Parameters): string | undefined {
  const description = optionalString(parameters, 'Description', { max: 8192 });
  if (description === undefined || !controlCharacters.test(description)) return description;
  throw validation('The description has control characters in it.');
}
