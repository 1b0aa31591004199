/**
 * The grammar of key policies. Sources: KMS developer guide, "Elements in a key policy", and AWS's notice that since August
 * 2025 a statement needs a valid Action or NotAction and the Resource "*"; IAM user guide, "Grammar of the IAM JSON policy
 * language", "NotPrincipal" and "IAM policy validation check reference". The words of most errors are our own: AWS's are not
 * documented.
 */
import { malformedPolicy } from './errors.ts';
import type { Statement } from './statements.ts';

const elements = new Set(['Version', 'Id', 'Statement']);
const versions = new Set<unknown>([undefined, '2008-10-17', '2012-10-17']);

function refuse(reason: string): never {
  throw malformedPolicy(`Syntax errors in policy: ${reason}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** The statements of a policy, checked. @throws KmsError MalformedPolicyDocumentException */
export function checkedStatements(policy: Record<string, unknown>): Statement[] {
  const unknown = Object.keys(policy).find((element) => !elements.has(element));
  if (unknown !== undefined) refuse(`unknown element ${unknown}`);
  if (!versions.has(policy['Version'])) refuse('the version is not known');
  if (policy['Id'] !== undefined && typeof policy['Id'] !== 'string') refuse('Id is no text');
  const statements = [policy['Statement'] ?? []].flat();
  if (statements.length === 0) refuse('there is no statement');
  for (const statement of statements) {
    if (!isObject(statement)) refuse('a statement is not an object');
    checkStatement(statement);
  }
  checkSids(statements as Statement[]);
  return statements as Statement[];
}

function checkSids(statements: Statement[]): void {
  const sids = statements.map(({ Sid }) => Sid).filter((sid) => sid !== undefined && sid !== '');
  if (sids.some((sid) => typeof sid !== 'string')) refuse('a Sid is no text');
  if (new Set(sids).size < sids.length) refuse('Statement IDs (SID) in a single policy must be unique');
}

const statementElements = new Set([
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'Condition',
]);

function checkStatement(statement: Statement): void {
  // A key policy is of its one key: what it says of others would be said of none.
  if (statement['NotResource'] !== undefined) refuse('NotResource is not for key policies');
  const unknown = Object.keys(statement).find((element) => !statementElements.has(element));
  if (unknown !== undefined) refuse(`unknown element ${unknown}`);
  if (statement['Effect'] !== 'Allow' && statement['Effect'] !== 'Deny') refuse('Effect must be Allow or Deny');
  for (const action of texts('Action', oneOf(statement, 'Action', 'NotAction'))) checkAction(action);
  const resources = texts('Resource', statement['Resource']);
  if (resources.some((resource) => resource !== '*')) refuse('the Resource of a key policy is "*"');
  checkPrincipals(statement);
  if (statement['Condition'] !== undefined) checkCondition(statement['Condition']);
}

/** The value of an element or its opposite: one of the two, and not both. */
function oneOf(statement: Statement, element: string, opposite: string): unknown {
  if (statement[element] !== undefined && statement[opposite] !== undefined) {
    refuse(`${element} and ${opposite} do not go together`);
  }
  return statement[element] ?? statement[opposite];
}

/** A text or a list of them, of at least one. */
function texts(element: string, value: unknown): string[] {
  const list = value === undefined ? [] : [value].flat();
  if (list.length === 0) refuse(`${element} is missing or empty`);
  if (!list.every((text) => typeof text === 'string')) refuse(`${element} must be a text or a list of texts`);
  return list;
}

function checkAction(action: string): void {
  if (action === '*' || /^[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+$/.test(action)) return;
  refuse(`the action ${action} is not prefaced by a vendor, as kms:Decrypt is`);
}

const principalKinds = new Set(['AWS', 'Service', 'Federated', 'CanonicalUser']);

function checkPrincipals(statement: Statement): void {
  const given = oneOf(statement, 'Principal', 'NotPrincipal');
  if (statement['NotPrincipal'] !== undefined && statement['Effect'] === 'Allow') refuse('Allow with NotPrincipal');
  if (given === '*') return;
  if (!isObject(given)) refuse('Principal must be "*" or an object, as { "AWS": … }');
  const kinds = Object.entries(given);
  if (kinds.length === 0) refuse('Principal is empty');
  for (const [kind, names] of kinds) {
    if (!principalKinds.has(kind)) refuse(`there is no principal of the kind ${kind}`);
    texts('Principal', names);
  }
}

const operator = new RegExp(
  `^((ForAnyValue|ForAllValues):)?(${[
    'String(Not)?(Equals|EqualsIgnoreCase|Like)',
    '(Numeric|Date)(Equals|NotEquals|LessThan|LessThanEquals|GreaterThan|GreaterThanEquals)',
    'Bool',
    'BinaryEquals',
    '(Not)?IpAddress',
    'Arn(Not)?(Equals|Like)',
  ].join('|')})(IfExists)?$|^Null$`,
);

/** What says nothing about the one key that the policy is of. The words are AWS's. */
const keysOfOthers = ['aws:ResourceTag', 'kms:ResourceTag', 'kms:ResourceAliases'];

/** Empty lists of values pass: AWS's own checks only advise against them. */
function checkCondition(condition: unknown): void {
  if (!isObject(condition)) refuse('Condition must be an object');
  for (const [name, keys] of Object.entries(condition)) {
    if (!operator.test(name)) refuse(`Invalid Condition type : ${name}`);
    if (!isObject(keys)) refuse(`the condition ${name} must be an object`);
    for (const [key, values] of Object.entries(keys)) {
      if ([values].flat().some((value) => value === null || typeof value === 'object')) {
        refuse(`the values of ${key} must be texts, numbers or booleans`);
      }
      if (keysOfOthers.every((other) => key.split('/')[0]?.toLowerCase() !== other.toLowerCase())) continue;
      throw malformedPolicy(`These condition keys are not permitted in a key policy: ${keysOfOthers.join(', ')}`);
    }
  }
}
