/**
 * Key policies: their grammar as far as it is checked here (version, statements, effects, principals, actions), the
 * principals that don't exist, and the lockout safety check. That evaluates no conditions and asks no identity policies: a
 * statement with a condition is not taken to give the caller any right.
 */
import type { Caller } from './context.ts';
import { malformedPolicy, validation } from './errors.ts';
import { awsPrincipals, isLike, naming, type Statement } from './statements.ts';

/** Bytes, as the developer guide has it. */
const largestPolicy = 32_768;

/** The policy that a key gets when none is given. */
export function defaultPolicy(account: string): string {
  return write({
    Version: '2012-10-17',
    Id: 'key-default-1',
    Statement: [
      {
        Sid: 'Enable IAM User Permissions',
        Effect: 'Allow',
        Principal: { AWS: `arn:aws:iam::${account}:root` },
        Action: 'kms:*',
        Resource: '*',
      },
    ],
  });
}

/** With white space of its own, as KMS gives policies back. */
function write(policy: object): string {
  return JSON.stringify(policy, null, 2).replaceAll(/^(\s*"(?:[^"\\]|\\.)*"):/gm, '$1 :');
}

/**
 * Checks a policy and gives the text that KMS would keep.
 * @throws KmsError ValidationException, MalformedPolicyDocumentException
 */
export function acceptPolicy(text: string, caller: Caller, bypassLockoutCheck: boolean): string {
  if (new TextEncoder().encode(text).length > largestPolicy) {
    throw validation(
      `1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to ${largestPolicy}`,
    );
  }
  const policy = parse(text);
  const statements = statementsOf(policy);
  for (const statement of statements) checkStatement(statement);
  if (!bypassLockoutCheck && !statements.some((statement) => letsUpdatePolicy(statement, caller))) {
    throw malformedPolicy('The new key policy will not allow you to update the key policy in the future.');
  }
  return write(policy);
}

function parse(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformedPolicy('Policy contains invalid JSON');
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw malformedPolicy('Policy must be a JSON object');
  }
  return value as Record<string, unknown>;
}

const policyElements = new Set(['Version', 'Id', 'Statement']);
const versions = new Set<unknown>([undefined, '2008-10-17', '2012-10-17']);

function statementsOf(policy: Record<string, unknown>): Statement[] {
  const unknown = Object.keys(policy).find((element) => !policyElements.has(element));
  if (unknown !== undefined) throw malformedPolicy(`Syntax errors in policy: unknown element ${unknown}`);
  if (!versions.has(policy['Version'])) throw malformedPolicy('Syntax errors in policy: the version is not known');
  const statements = [policy['Statement'] ?? []].flat();
  if (statements.length === 0) throw malformedPolicy('Syntax errors in policy: there is no statement');
  if (statements.some((statement) => statement === null || typeof statement !== 'object')) {
    throw malformedPolicy('Syntax errors in policy: a statement is not an object');
  }
  return statements as Statement[];
}

const statementElements = new Set([
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
]);

function checkStatement(statement: Statement): void {
  const unknown = Object.keys(statement).find((element) => !statementElements.has(element));
  if (unknown !== undefined) throw malformedPolicy(`Syntax errors in policy: unknown element ${unknown}`);
  if (statement['Effect'] !== 'Allow' && statement['Effect'] !== 'Deny') {
    throw malformedPolicy('Syntax errors in policy: Effect must be Allow or Deny');
  }
  for (const pair of [
    ['Principal', 'NotPrincipal'],
    ['Action', 'NotAction'],
    ['Resource', 'NotResource'],
  ]) {
    if (!pair.some((element) => statement[element] !== undefined)) {
      throw malformedPolicy(`Syntax errors in policy: ${pair[0]} is missing`);
    }
  }
  for (const principal of awsPrincipals(statement)) checkPrincipal(principal);
  checkConditionKeys(statement);
}

/** What says nothing about the one key that the policy is of. The words are AWS's. */
const keysOfOthers = ['aws:ResourceTag', 'kms:ResourceTag', 'kms:ResourceAliases'];

function checkConditionKeys({ Condition }: Statement): void {
  const given = Object.values((Condition ?? {}) as Record<string, object>).flatMap((keys) => Object.keys(keys ?? {}));
  if (!given.some((key) => keysOfOthers.some((name) => key.split('/')[0]?.toLowerCase() === name.toLowerCase())))
    return;
  throw malformedPolicy(`These condition keys are not permitted in a key policy: ${keysOfOthers.join(', ')}`);
}

const wellFormedPrincipal =
  /^(\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::\d{12}:(root|user\/.+|role\/.+|assumed-role\/.+|federated-user\/.+)|A(ID|RO)A[A-Z0-9]{12,})$/;

/** Every well-formed principal exists, except those whose name begins with `missing-`. */
function checkPrincipal(principal: string): void {
  if (wellFormedPrincipal.test(principal) && !/[/]missing-[^/]*$/.test(principal)) return;
  throw malformedPolicy('Policy contains a statement with one or more invalid principals.');
}

function letsUpdatePolicy(statement: Statement, caller: Caller): boolean {
  return (
    statement['Effect'] === 'Allow' &&
    statement['Condition'] === undefined &&
    statement['Principal'] !== undefined &&
    naming(statement, caller) !== null &&
    coversPutKeyPolicy(statement)
  );
}

function coversPutKeyPolicy(statement: Statement): boolean {
  const matches = (pattern: unknown) => isLike('kms:PutKeyPolicy', String(pattern), 'i');
  if (statement['NotAction'] !== undefined) return ![statement['NotAction']].flat().some(matches);
  return [statement['Action']].flat().some(matches);
}
