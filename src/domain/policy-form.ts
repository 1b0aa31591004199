/**
 * How KMS may write a policy that it was given: a principal's unique id in place of its ARN, or the role in place of a
 * session of it. Source: IAM user guide, "AWS JSON policy elements: Principal". What else differs, such as a list that was
 * emptied, means another thing to IAM.
 */
import { policiesEqual } from './policy-equivalence.ts';
import type { Json, PolicyDocument } from './values.ts';

/** What KMS made of a declared policy right after it was written. */
export type PolicyForm = {
  declared: PolicyDocument;
  rendered: PolicyDocument;
  /** Whether a look past the settling time has shown it once more. */
  confirmed: boolean;
};

/** Whether one policy is the other, not equal to it as it is written, with principals as KMS may write them. */
export function isRendering(declared: PolicyDocument, rendered: PolicyDocument, partition: string): boolean {
  if (policiesEqual(declared, rendered, partition)) return false;
  const [ours, theirs] = [statementsOf(declared), statementsOf(rendered)];
  if (ours.length !== theirs.length) return false;
  const translated = ours.map((statement, index) => withPrincipalsOf(statement, theirs[index] ?? null));
  return policiesEqual({ ...declared, Statement: translated }, rendered, partition);
}

/** Whether KMS may write any of the policy's principals otherwise. */
export function mayBeRendered(policy: PolicyDocument): boolean {
  return statementsOf(policy).some((statement) => principalsOf(statement)?.some((name) => rendering(name) !== null));
}

/** The statement with each principal that the other lacks in the words in which that may have it. */
function withPrincipalsOf(statement: Json, other: Json): Json {
  const [given, shown] = [principalsOf(statement), principalsOf(other)];
  if (given === null || shown === null || !isObject(statement)) return statement;
  const left = shown.filter((name) => !given.includes(name));
  const translated = given.map((name) => {
    const match = shown.includes(name) ? -1 : left.findIndex((one) => rendering(name)?.(one));
    return match < 0 ? name : (left.splice(match, 1)[0] ?? name);
  });
  return { ...statement, Principal: { ...(statement['Principal'] as { [member: string]: Json }), AWS: translated } };
}

const uniqueIds: Record<string, RegExp> = {
  user: /^AIDA[A-Z0-9]{12,}$/,
  role: /^AROA[A-Z0-9]{12,}$/,
  'assumed-role': /^AROA[A-Z0-9]{12,}(:.+)?$/,
};

/** Tells what KMS may write in place of a principal; null: nothing else. */
function rendering(principal: string): ((name: string) => boolean) | null {
  const parts = /^arn:([a-z-]+):(?:iam|sts)::(\d{12}):(user|role|assumed-role)\/(.+)$/.exec(principal);
  if (parts === null) return null;
  const [, partition, account, kind = '', path = ''] = parts;
  const ofRole = `arn:${partition}:iam::${account}:role/`;
  const role = path.split('/')[0] ?? '';
  const isRole = (name: string) => name.startsWith(ofRole) && name.split('/').at(-1) === role;
  return (name) => uniqueIds[kind]?.test(name) || (kind === 'assumed-role' && isRole(name));
}

function statementsOf({ Statement: statements }: PolicyDocument): Json[] {
  return [statements ?? []].flat() as Json[];
}

function principalsOf(statement: Json): string[] | null {
  const principal = isObject(statement) ? (statement['Principal'] ?? null) : null;
  if (!isObject(principal)) return null;
  const names = [principal['AWS'] ?? []].flat();
  return names.every((name) => typeof name === 'string') ? names : null;
}

function isObject(value: Json): value is { [member: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
