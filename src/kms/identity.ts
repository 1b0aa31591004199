/** Whose account it is that calls are made in. */
import { GetCallerIdentityCommand, type STSClient } from '@aws-sdk/client-sts';
import { call, KmsFailure, unusableAnswer } from './errors.ts';

export type CallerIdentity = { account: string; arn: string };

/** Milliseconds for which the answer is taken to be so. */
const knownFor = 300_000;
/** The same for none, of an STS that may just have failed: what waits for the account waits no longer than a retry does. */
const unknownFor = 2000;

/**
 * One GetCallerIdentity call, which needs no permission.
 * @throws KmsFailure
 */
export async function readCallerIdentity(sts: STSClient): Promise<CallerIdentity> {
  const { Account, Arn } = await call('GetCallerIdentity', () => sts.send(new GetCallerIdentityCommand({})));
  if (Account === undefined || Arn === undefined) throw unusableAnswer('GetCallerIdentity', 'Account and Arn');
  return { account: Account, arn: Arn };
}

/**
 * The caller's identity, asked for once in a while. While STS is away the last answer stands; where it never answered (an
 * endpoint that is not AWS may have no STS) it is that of the role, whose ARN tells the account, and null without one.
 * @param roleArn of the role that calls are made as; null: of none that is known.
 * @throws KmsFailure of kind `credentials`.
 */
export function rememberedIdentity(sts: STSClient, roleArn: string | null): () => Promise<CallerIdentity | null> {
  const account = roleArn?.split(':')[4];
  let last: CallerIdentity | null = roleArn === null || account === undefined ? null : { account, arn: roleArn };
  let known: { answer: Promise<CallerIdentity | null>; until: number } | undefined;
  const ask = async () => {
    try {
      last = await readCallerIdentity(sts);
      return last;
    } catch (error) {
      if (!(error instanceof KmsFailure) || error.kind === 'credentials') throw error;
      const isWithout = error.kind === 'unsupported';
      if (last === null && !isWithout && known !== undefined) known.until = Date.now() + unknownFor;
      return last;
    }
  };
  return () => {
    if (known !== undefined && Date.now() < known.until) return known.answer;
    const asked = { answer: ask(), until: Date.now() + knownFor };
    asked.answer.catch(() => {
      // What credentials say is kept with them.
      if (known === asked) known = undefined;
    });
    known = asked;
    return asked.answer;
  };
}
