/** A role of a local KMS that may do what a test says, and no more. */
import type { Test } from 'tap';
import { account, refuses, startKms } from './local-kms.ts';
import { rolesOf } from './sts.ts';

export const role = `arn:aws:iam::${account}:role/app`;
export const session = `arn:aws:sts::${account}:assumed-role/app/test`;
export const allow = (Action: unknown, Resource: unknown = '*', Condition?: object) => ({
  Effect: 'Allow',
  Action,
  Resource,
  ...(Condition === undefined ? {} : { Condition }),
});
export const deny = (Action: unknown, Resource: unknown = '*', Condition?: object) => ({
  ...allow(Action, Resource, Condition),
  Effect: 'Deny',
});

/** A local KMS with a role that may do what is said last. */
export async function startWithRole(t: Test) {
  const started = await startKms(t);
  const roles = rolesOf(t, started.url);
  const may = async (...Statement: object[]) => {
    const { status, body } = await roles.register({ arn: role, policies: [{ Version: '2012-10-17', Statement }] });
    t.equal(status, 200, JSON.stringify(body));
  };
  const credentials = await roles.assume(role);
  const app = roles.kms(credentials);
  const refusal = (action: string, resource: string | null, reason: string) =>
    `User: ${session} is not authorized to perform: ${action}${resource === null ? '' : ` on resource: ${resource}`} ${reason}`;
  /** Holds that no policy of the role allows an action. */
  const notAllowed = (call: Promise<unknown>, action: string, resource: string | null) =>
    refuses(
      t,
      call,
      'AccessDeniedException',
      refusal(action, resource, `because no identity-based policy allows the ${action} action`),
    );
  return { ...started, roles, may, app, credentials, refusal, notAllowed };
}
