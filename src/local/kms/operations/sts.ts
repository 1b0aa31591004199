/** AssumeRole and GetCallerIdentity. Source: AWS STS API reference; its words where they are known. */
import { randomBytes, randomInt } from 'node:crypto';
import { sessionPrefix, sessionPrincipal } from '../caller.ts';
import type { Context, Operation } from '../context.ts';
import { constraint, validation } from '../errors.ts';
import { optionalInteger, optionalString, type Parameters, requiredString } from '../parameters.ts';
import { parseRoleArn } from '../principals.ts';
import { assertMayAssume, standardSessionDuration } from '../roles.ts';

const shortestSession = 900;
const longestSession = 43_200;
/** Of a session that another one asked for. */
const longestChainedSession = 3600;

const unknownMembers = /^(Policy|PolicyArns|Tags|TransitiveTagKeys|SourceIdentity|ProvidedContexts|SerialNumber)\b/;

const assumeRole: Operation = (context, parameters) => {
  const roleArn = requiredString(parameters, 'RoleArn', { min: 20, max: 2048 });
  const name = requiredString(parameters, 'RoleSessionName', { min: 2, max: 64 });
  assertMatches(name, 'roleSessionName', '[\\w+=,.@-]*');
  const externalId = optionalString(parameters, 'ExternalId', { min: 2, max: 1224 });
  if (externalId !== undefined) assertMatches(externalId, 'externalId', '[\\w+=,.@:\\/-]*');
  const seconds = durationOf(parameters) ?? standardSessionDuration;
  if (parseRoleArn(roleArn) === undefined) throw validation('Request ARN is invalid');
  const unknown = Object.keys(parameters).find((member) => unknownMembers.test(member));
  if (unknown !== undefined) throw validation(`The local KMS does not know the member ${unknown} of AssumeRole`);
  assertMayAssume(context, roleArn, externalId);
  assertNotTooLong(context, roleArn, seconds);
  const session = {
    accessKeyId: sessionPrefix + letters(11),
    secretAccessKey: randomBytes(30).toString('base64'),
    sessionToken: randomBytes(150).toString('base64'),
    roleArn,
    name,
    expiresAt: Math.floor(Date.now() / 1000 + seconds) * 1000,
  };
  context.store.identities.saveSession(session);
  const { arn, userId } = sessionPrincipal(roleArn, name);
  return {
    AssumedRoleUser: { AssumedRoleId: userId, Arn: arn },
    Credentials: {
      AccessKeyId: session.accessKeyId,
      SecretAccessKey: session.secretAccessKey,
      SessionToken: session.sessionToken,
      Expiration: new Date(session.expiresAt).toISOString().replace('.000', ''),
    },
  };
};

/** @param pattern as the API's model, and so the error, has it. */
function assertMatches(value: string, member: string, pattern: string): void {
  if (new RegExp(`^${pattern}$`).test(value)) return;
  throw constraint(value, member, `satisfy regular expression pattern: ${pattern}`);
}

/** The query protocol has numbers as text. */
function durationOf(parameters: Parameters): number | undefined {
  const { DurationSeconds: text } = parameters;
  const DurationSeconds = text === undefined ? undefined : Number(text);
  return optionalInteger({ DurationSeconds }, 'DurationSeconds', shortestSession, longestSession);
}

function assertNotTooLong({ store, caller }: Context, roleArn: string, seconds: number): void {
  if (seconds > (store.identities.findRole(roleArn)?.maxSessionDuration ?? standardSessionDuration)) {
    throw validation('The requested DurationSeconds exceeds the MaxSessionDuration set for this role.');
  }
  if (caller.roleArn === null || seconds <= longestChainedSession) return;
  const limit = 'the 1 hour session limit for roles assumed by role chaining';
  throw validation(`The requested DurationSeconds exceeds ${limit}`);
}

/** Of those that access key ids are made of. */
function letters(count: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return Array.from({ length: count }, () => alphabet[randomInt(alphabet.length)]).join('');
}

const getCallerIdentity: Operation = ({ caller: { account, arn, userId } }) => ({
  Arn: arn,
  UserId: userId,
  Account: account,
});

export const stsOperations: Record<string, Operation> = {
  AssumeRole: assumeRole,
  GetCallerIdentity: getCallerIdentity,
};
