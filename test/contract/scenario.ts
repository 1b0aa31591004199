/**
 * Scenarios of the contract: HTTP to a service whose KMS may be any, and the truth read from that KMS with the SDK. They use
 * nothing that only the local KMS has.
 */
import { CreateKeyCommand, type CreateKeyCommandInput, type KMSClient } from '@aws-sdk/client-kms';
import type { Answer, Call, Problem } from '../support/service.ts';

export type Context = {
  /** The service. */
  call: Call;
  /** The KMS in the service's Region. */
  kms: KMSClient;
  /** The same account in another Region. */
  elsewhere: KMSClient;
};

/** Throws when what it holds is not so. */
export type Scenario = { name: string; run: (context: Context) => Promise<void> };

export const serviceRegion = 'us-east-1';
export const otherRegion = 'eu-west-1';

/** Creates a key through the service. @throws when the answer is not 201. */
export async function create({ call }: Context, body: object = {}) {
  const { status, body: key } = await call('POST', '/v1/keys', body);
  if (status !== 201 || key.key_id === null || key.arn === null) {
    throw new Error(`POST /v1/keys answered ${status}: ${JSON.stringify(key)}`);
  }
  return { ...key, key_id: key.key_id, arn: key.arn };
}

/** Creates a key beside the service. */
export async function createInKms(kms: KMSClient, input: CreateKeyCommandInput = {}) {
  const { KeyMetadata: { KeyId = '', Arn = '', AWSAccountId = '' } = {} } = await kms.send(new CreateKeyCommand(input));
  return { KeyId, Arn, account: AWSAccountId };
}

export function problemOf(answer: Answer<unknown>): Problem {
  return answer.body as Problem;
}
