/** Roles: what can be registered of one, and who may assume it. */
import { refusalOf } from './access.ts';
import type { Context } from './context.ts';
import { KmsError } from './errors.ts';
import type { Policy, StoredRole } from './identities.ts';
import { parseRoleArn } from './principals.ts';
import { type Statement, statementsOf, unknownConditions } from './statements.ts';

/** Seconds; IAM's for a role of which nothing else is said. */
export const standardSessionDuration = 3600;

/**
 * Reads what is to be registered of a role: `arn`; `trust` (absent: anybody may assume it; null: nobody; a trust policy; or
 * `external_id` and `principals`, either of them); `policies` (absent: its calls are not evaluated); and
 * `max_session_duration` in seconds.
 * @throws KmsError BadRequest
 */
export function readRole(given: unknown): StoredRole {
  const { arn, trust, policies, max_session_duration = standardSessionDuration, ...others } = objectIn(given, 'A role');
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw badRequest(`A role has no ${unknown}`);
  if (typeof arn !== 'string' || parseRoleArn(arn) === undefined) throw badRequest('arn must be the ARN of a role');
  if (policies !== undefined && !Array.isArray(policies)) throw badRequest('policies must be a list of policies');
  if (typeof max_session_duration !== 'number') throw badRequest('max_session_duration must be a number of seconds');
  return {
    arn,
    trust: trust === undefined ? undefined : readTrust(trust),
    policies: policies?.map((policy) => checkedPolicy(policy, ['Action', 'Resource'])),
    maxSessionDuration: max_session_duration,
  };
}

/** As it was registered. */
export function shownRole({ arn, trust, policies, maxSessionDuration: max_session_duration }: StoredRole): object {
  return { arn, trust, policies, max_session_duration };
}

function readTrust(given: unknown): Policy {
  if (given === null) return { Statement: [] };
  const trust = objectIn(given, 'trust');
  if (trust['Statement'] !== undefined) return checkedPolicy(trust, ['Principal', 'Action']);
  const { external_id: externalId, principals = '*', ...others } = trust;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw badRequest(`trust has no ${unknown}`);
  const condition = externalId === undefined ? {} : { Condition: { StringEquals: { 'sts:ExternalId': externalId } } };
  const statement = { Effect: 'Allow', Principal: { AWS: principals }, Action: 'sts:AssumeRole', ...condition };
  return checkedPolicy({ Version: '2012-10-17', Statement: [statement] }, ['Principal', 'Action']);
}

/** A policy in which there is nothing that would not be evaluated. */
function checkedPolicy(given: unknown, elements: string[]): Policy {
  const policy = objectIn(given, 'A policy');
  for (const statement of statementsOf(policy)) {
    const { Effect } = objectIn(statement, 'A statement');
    if (Effect !== 'Allow' && Effect !== 'Deny') throw badRequest('Effect must be Allow or Deny');
    for (const element of elements) assertHas(statement, element);
    const [unknown] = unknownConditions(statement);
    if (unknown !== undefined) throw badRequest(`The local KMS does not evaluate the condition ${unknown}`);
  }
  if (JSON.stringify(policy).includes('${')) throw badRequest('The local KMS does not know policy variables');
  return policy;
}

function assertHas(statement: Statement, element: string): void {
  if (statement[element] === undefined && statement[`Not${element}`] === undefined) {
    throw badRequest(`A statement must have ${element} or Not${element}`);
  }
}

function objectIn(given: unknown, what: string): Record<string, unknown> {
  if (given !== null && typeof given === 'object' && !Array.isArray(given)) return given as Record<string, unknown>;
  throw badRequest(`${what} must be a JSON object`);
}

function badRequest(message: string): KmsError {
  return new KmsError('BadRequest', message);
}

/**
 * Any role of any account exists, but for those whose name begins with `missing-`, and trusts every account unless
 * something else was registered.
 * @throws KmsError AccessDeniedException
 */
export function assertMayAssume({ store, caller }: Context, arn: string, externalId: string | undefined): void {
  const { account, name = '' } = parseRoleArn(arn) ?? {};
  const identity = caller.roleArn === null ? undefined : store.identities.findRole(caller.roleArn)?.policies;
  const trustOfAll = { Statement: [{ Effect: 'Allow', Principal: { AWS: caller.account }, Action: 'sts:AssumeRole' }] };
  const resource = store.identities.findRole(arn)?.trust ?? trustOfAll;
  const context = new Map([
    ['aws:principalaccount', [caller.account]],
    ['aws:principalarn', [caller.roleArn ?? caller.arn]],
    ...(externalId === undefined ? [] : [['sts:externalid', [externalId]] as const]),
  ] as [string, string[]][]);
  const request = { action: 'sts:AssumeRole', resource: arn, context };
  const refusal = refusalOf(caller, request, { identity, resource }, account !== caller.account);
  if (refusal === null && !name.startsWith('missing-')) return;
  const message = `User: ${caller.arn} is not authorized to perform: sts:AssumeRole on resource: ${arn}`;
  throw new KmsError('AccessDeniedException', message);
}
