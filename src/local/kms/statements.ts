/**
 * Policy statements, as far as they are evaluated here: Effect, Principal, Action, Resource (each also as Not…) and
 * conditions with the operators below. Pure. Source: IAM user guide, "IAM JSON policy elements reference" and "Policy
 * evaluation logic".
 */
import { partitionIn } from '../../domain/regions.ts';
import type { Caller } from './context.ts';
import type { Policy } from './identities.ts';

export type Statement = Record<string, unknown>;

/** What is asked of the policies. */
export type Request = {
  /** As `kms:DescribeKey`. */
  action: string;
  /** An ARN, or `*` for an action that has no resource. */
  resource: string;
  /** Values by condition key; keys in small letters. */
  context: ReadonlyMap<string, string[]>;
};

export function statementsOf({ Statement: statements }: Policy): Statement[] {
  return [statements ?? []].flat() as Statement[];
}

/** Whether a text is as a pattern with `*` and `?` says. */
export function isLike(text: string, pattern: string, flags = ''): boolean {
  const escaped = pattern.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '[^]*').replaceAll('?', '[^]')}$`, flags).test(text);
}

/** What the statements say to a request: a denial counts before a permission; null: nothing. */
export function effectOf(statements: Statement[], request: Request): 'Allow' | 'Deny' | null {
  const effects = statements.filter((statement) => applies(statement, request)).map(({ Effect }) => Effect);
  if (effects.includes('Deny')) return 'Deny';
  return effects.includes('Allow') ? 'Allow' : null;
}

function applies(statement: Statement, { action, resource, context }: Request): boolean {
  return (
    covers(statement, 'Action', (pattern) => isLike(action, pattern, 'i')) &&
    covers(statement, 'Resource', (pattern) => isLike(resource, pattern)) &&
    holds(statement, context)
  );
}

/** Whether an element, or its opposite, is met. A trust policy has no resources: it is about its own role. */
function covers(statement: Statement, element: string, isMet: (pattern: string) => boolean): boolean {
  const opposite = statement[`Not${element}`];
  if (opposite !== undefined) return !texts(opposite).some(isMet);
  return statement[element] === undefined || texts(statement[element]).some(isMet);
}

function texts(value: unknown): string[] {
  return [value ?? []].flat().map(String);
}

export function awsPrincipals(statement: Statement): string[] {
  const given = statement['Principal'] ?? statement['NotPrincipal'];
  if (typeof given === 'string') return [given];
  return given === null || typeof given !== 'object' ? [] : texts((given as Statement)['AWS']);
}

/** How a statement of a key or a role names a caller: itself, or through its account, which then decides by IAM. */
export function naming(statement: Statement, caller: Omit<Caller, 'region'>): 'direct' | 'account' | null {
  const { account, arn, roleArn, userId } = caller;
  const own = ['*', arn, roleArn, userId.split(':')[0]];
  const ofAccount = (principal: string) =>
    principal === account || principal === `arn:${partitionIn(arn)}:iam::${account}:root`;
  const named = awsPrincipals(statement);
  const isNamed = named.some((principal) => own.includes(principal));
  if (statement['NotPrincipal'] !== undefined) return isNamed || named.some(ofAccount) ? null : 'direct';
  if (isNamed) return 'direct';
  return named.some(ofAccount) ? 'account' : null;
}

type Test = (value: string, wanted: string) => boolean;

const same: Test = (value, wanted) => value === wanted;
const sameButForCase: Test = (value, wanted) => value.toLowerCase() === wanted.toLowerCase();
const like: Test = (value, wanted) => isLike(value, wanted);

/** Each operator's test of a value against what is wanted; those with Not hold when it fails. */
const operators: Readonly<Record<string, Test>> = {
  StringEquals: same,
  StringNotEquals: same,
  StringEqualsIgnoreCase: sameButForCase,
  StringNotEqualsIgnoreCase: sameButForCase,
  StringLike: like,
  StringNotLike: like,
  ArnEquals: like,
  ArnNotEquals: like,
  ArnLike: like,
  ArnNotLike: like,
  Bool: sameButForCase,
  Null: same,
};

const operatorName = /^(?:(ForAnyValue|ForAllValues):)?([A-Za-z]+?)(IfExists)?$/;

/** The condition keys that a request has here. Source: Service Authorization Reference, AWS KMS and AWS STS. */
const knownKeys = new RegExp(
  `^(${[
    'aws:(RequestTag|ResourceTag)/.+',
    'aws:(TagKeys|PrincipalAccount|PrincipalArn|RequestedRegion)',
    'kms:(CallerAccount|KeySpec|KeyUsage|KeyOrigin|MultiRegion|MultiRegionKeyType|PrimaryRegion|ReplicaRegion)',
    'kms:(ResourceAliases|RequestAlias|BypassPolicyLockoutSafetyCheck)',
    'sts:ExternalId',
    'iam:AWSServiceName',
  ].join('|')})$`,
  'i',
);

/** The conditions of a statement that can't be evaluated, as operator and key. */
export function unknownConditions(statement: Statement): string[] {
  return conditionsOf(statement).flatMap(({ operator, key }) => {
    const isKnown = Object.hasOwn(operators, operatorName.exec(operator)?.[2] ?? '') && knownKeys.test(key);
    return isKnown ? [] : [`${operator} ${key}`];
  });
}

function conditionsOf({ Condition }: Statement) {
  return Object.entries((Condition ?? {}) as Record<string, Record<string, unknown>>).flatMap(([operator, keys]) =>
    Object.entries(keys ?? {}).map(([key, wanted]) => ({ operator, key, wanted: texts(wanted) })),
  );
}

/** Whether all conditions hold. One that is not known makes a denial hold, and a permission not. */
function holds(statement: Statement, context: ReadonlyMap<string, string[]>): boolean {
  return conditionsOf(statement).every(({ operator, key, wanted }) => {
    const [, set, name = '', ifExists] = operatorName.exec(operator) ?? [];
    const test = Object.hasOwn(operators, name) ? operators[name] : undefined;
    if (test === undefined) return statement['Effect'] === 'Deny';
    const values = context.get(key.toLowerCase());
    if (name === 'Null') return wanted.includes(String(values === undefined));
    const isNegative = name.includes('Not');
    if (values === undefined) return ifExists !== undefined || isNegative || set === 'ForAllValues';
    const isMet = (value: string) => wanted.some((text) => test(value, text)) !== isNegative;
    return set === 'ForAllValues' ? values.every(isMet) : values.some(isMet);
  });
}
