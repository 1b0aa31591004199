/**
 * Key policies: what they may be made of, the principals that don't exist, and the lockout safety check. That evaluates no
 * conditions and asks no identity policies: a statement with a condition is not taken to give the caller any right.
 */
import { partitionIn, partitionOf } from '../../domain/regions.ts';
import type { Caller } from './context.ts';
import { constraint, limitExceeded, malformedPolicy } from './errors.ts';
import { checkedStatements } from './policy-grammar.ts';
import { awsPrincipals, isLike, naming, type Statement } from './statements.ts';
import type { Place } from './store.ts';

/** Bytes, as the developer guide has it. */
const largestPolicy = 32_768;

/** The policy that a key gets when none is given. */
export function defaultPolicy({ account, region }: Place): string {
  return write({
    Version: '2012-10-17',
    Id: 'key-default-1',
    Statement: [
      {
        Sid: 'Enable IAM User Permissions',
        Effect: 'Allow',
        Principal: { AWS: `arn:${partitionOf(region)}:iam::${account}:root` },
        Action: 'kms:*',
        Resource: '*',
      },
    ],
  });
}

/** With white space of its own, as KMS gives policies back, and of the characters that it takes. */
function write(policy: object): string {
  const text = JSON.stringify(policy, null, 2).replaceAll(/^(\s*"(?:[^"\\]|\\.)*"):/gm, '$1 :');
  return text.replaceAll(/[\u0100-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Source: KMS API reference, PutKeyPolicy. */
const characters = '[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+';

/**
 * Checks a policy and gives the text that KMS would keep.
 * @throws KmsError ValidationException, LimitExceededException, MalformedPolicyDocumentException
 */
export function acceptPolicy(text: string, caller: Caller, bypassLockoutCheck: boolean): string {
  if (!new RegExp(`^${characters}$`).test(text)) {
    throw constraint(text, 'policy', `satisfy regular expression pattern: ${characters}`);
  }
  if (new TextEncoder().encode(text).length > largestPolicy) {
    throw limitExceeded(`The key policy exceeds the limit of ${largestPolicy} bytes.`);
  }
  const policy = parse(text);
  const statements = checkedStatements(policy);
  for (const statement of statements) checkPrincipals(statement, caller.region);
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

/** A wildcard stands for everybody, and never for a part of a name. Source: IAM user guide, "Principal". */
const awsPrincipal =
  /^(\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::\d{12}:(root|(user|role|assumed-role|federated-user)\/[^*?]+)|A(ID|RO)A[A-Z0-9]{12,})$/;
const servicePrincipal = /^([A-Za-z0-9-]+\.){2,}[A-Za-z0-9-]+$/;

/**
 * Every well-formed principal of the Region's partition exists, except those whose name begins with `missing-`. Partitions
 * share no accounts; that KMS has the same words for a principal of another one is not documented.
 */
export function isKnownPrincipal(principal: string, region: string): boolean {
  const isElsewhere = principal.startsWith('arn:') && partitionIn(principal) !== partitionOf(region);
  return awsPrincipal.test(principal) && !isElsewhere && !/[/]missing-[^/]*$/.test(principal);
}

function checkPrincipals(statement: Statement, region: string): void {
  const { Service = [] } = (statement['Principal'] ?? statement['NotPrincipal']) as { Service?: string | string[] };
  const isKnown = awsPrincipals(statement).every((name) => isKnownPrincipal(name, region));
  if (isKnown && [Service].flat().every((name) => servicePrincipal.test(name))) return;
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
