/**
 * When two policies mean the same to IAM, however they are written.
 * Source: IAM user guide, "Grammar of the IAM JSON policy language" and "IAM JSON policy elements reference".
 */
import { isDeepStrictEqual } from 'node:util';
import type { Json, PolicyDocument } from './values.ts';

/** Elements whose value is one text or a list of texts without an order. */
const textSets = new Set(['Action', 'NotAction', 'Resource', 'NotResource']);
const principals = new Set(['Principal', 'NotPrincipal']);
/** The version that IAM assumes where none is written. */
const oldestVersion = '2008-10-17';

/**
 * Whether IAM reads both as equal: the order of members, statements and lists, a text against a list of one, an
 * account id against its root ARN in the key's partition, `"*"` against `{"AWS": "*"}`, the case of actions and condition keys, and numbers
 * and booleans against their texts in conditions make no difference. Id and Sid are compared: IAM doesn't evaluate
 * them, but they are part of what an owner declared.
 * Neither may nest deeper than the stack allows (`key-rules` keeps it to 100).
 */
export function policiesEqual(first: PolicyDocument, second: PolicyDocument, partition: string): boolean {
  // Most are compared with themselves, over and over: the text is told apart a good deal faster than the meaning.
  return (
    JSON.stringify(first) === JSON.stringify(second) ||
    canonicalPolicy(first, partition) === canonicalPolicy(second, partition)
  );
}

/** The statements of each side that have no equal on the other, as written. */
export function differingStatements(desired: PolicyDocument, observed: PolicyDocument, partition: string) {
  return { desired: without(desired, observed, partition), observed: without(observed, desired, partition) };
}

/**
 * In what two policies differ: the statements that have no equal on the other side; where it is none of them, the other
 * members that differ (null: it is not there), such as Version and Id.
 */
export function policyDifference(
  desired: PolicyDocument,
  observed: PolicyDocument,
  partition: string,
): { desired: Json; observed: Json } {
  const statements = differingStatements(desired, observed, partition);
  if (statements.desired.length + statements.observed.length > 0) return statements;
  const names = [...new Set([...Object.keys(desired), ...Object.keys(observed)])].filter(
    (name) =>
      name !== 'Statement' &&
      !isDeepStrictEqual(sortedMembers(desired[name] ?? null), sortedMembers(observed[name] ?? null)),
  );
  const members = (policy: PolicyDocument) => Object.fromEntries(names.map((name) => [name, policy[name] ?? null]));
  return { desired: members(desired), observed: members(observed) };
}

function without(policy: PolicyDocument, other: PolicyDocument, partition: string): Json[] {
  const unmatched = statementsOf(other).map((statement) => canonicalStatement(statement, partition));
  return statementsOf(policy).filter((statement) => {
    const match = unmatched.indexOf(canonicalStatement(statement, partition));
    if (match >= 0) unmatched.splice(match, 1);
    return match < 0;
  });
}

function statementsOf(policy: PolicyDocument): Json[] {
  return asList(policy['Statement'] ?? []);
}

function canonicalPolicy(policy: PolicyDocument, partition: string): string {
  const { Statement: _statement, Version: version, Id: id, ...rest } = policy;
  return JSON.stringify({
    version: version ?? oldestVersion,
    id: id ?? '',
    statements: statementsOf(policy)
      .map((statement) => canonicalStatement(statement, partition))
      .sort(),
    rest: sortedMembers(rest),
  });
}

function canonicalStatement(statement: Json, partition: string): string {
  if (!isObject(statement)) return JSON.stringify(sortedMembers(statement));
  const elements = Object.entries(statement)
    .filter(([name, value]) => !(name === 'Sid' && value === ''))
    .map(([name, value]): [string, Json] => [name, canonicalElement(name, value, partition)]);
  return JSON.stringify(elements.sort(byName));
}

function canonicalElement(name: string, value: Json, partition: string): Json {
  if (textSets.has(name)) {
    // Actions are the one element in which IAM does not tell upper from lower case.
    const fold = name.endsWith('Action')
      ? (text: Json) => (typeof text === 'string' ? text.toLowerCase() : text)
      : same;
    return setOf(asList(value).map(fold));
  }
  if (principals.has(name)) return canonicalPrincipal(value, partition);
  if (name === 'Condition' && isObject(value)) return canonicalCondition(value);
  return sortedMembers(value);
}

function canonicalPrincipal(value: Json, partition: string): Json {
  if (value === '*') return [['AWS', ['"*"']]];
  if (!isObject(value)) return sortedMembers(value);
  const root = new RegExp(`^arn:${partition}:iam::(\\d{12}):root$`);
  // The root ARN of an account and its bare id name the same principal; a root of another partition is somebody else.
  const asAccount = (name: Json) => (typeof name === 'string' ? (root.exec(name)?.[1] ?? name) : name);
  return Object.entries(value)
    .map(([type, names]): Json[] => [type, setOf(asList(names).map(type === 'AWS' ? asAccount : same))])
    .sort(byName);
}

/** Operators with their keys, of which the case does not count, and sets of values, which are all texts to IAM. */
function canonicalCondition(condition: { [member: string]: Json }): Json {
  return Object.entries(condition)
    .map(([operator, keys]): Json[] => [operator, isObject(keys) ? canonicalKeys(keys) : sortedMembers(keys)])
    .sort(byName);
}

function canonicalKeys(keys: { [member: string]: Json }): Json {
  return Object.entries(keys)
    .map(([key, values]): Json[] => [key.toLowerCase(), setOf(asList(values).map(asText))])
    .sort(byName);
}

function asText(value: Json): Json {
  return typeof value === 'boolean' || typeof value === 'number' ? String(value) : value;
}

function same(value: Json): Json {
  return value;
}

function asList(value: Json): Json[] {
  return Array.isArray(value) ? value : [value];
}

/** Without order and doubles. */
function setOf(values: Json[]): Json[] {
  return [...new Set(values.map((value) => JSON.stringify(sortedMembers(value))))].sort();
}

/** The value with the members of every object in order, as a list of pairs: no name can have a meaning of its own. */
function sortedMembers(value: Json): Json {
  if (Array.isArray(value)) return value.map(sortedMembers);
  if (!isObject(value)) return value;
  const pairs = Object.entries(value).map(([name, member]): Json[] => [name, sortedMembers(member)]);
  return { members: pairs.sort(byName) };
}

function byName([first]: Json[], [second]: Json[]): number {
  return String(first) < String(second) ? -1 : String(first) > String(second) ? 1 : 0;
}

function isObject(value: Json): value is { [member: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
