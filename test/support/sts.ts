/** Roles of a local KMS: registering, assuming and using them, with the unmodified SDK. */
import { KMSClient } from '@aws-sdk/client-kms';
import { AssumeRoleCommand, type AssumeRoleCommandInput, STSClient } from '@aws-sdk/client-sts';
import type { Owner } from './postgres.ts';
import { caller } from './service.ts';

export type Credentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string };

/** Those of a user of an account of a local KMS. */
export const userOf = (account: string): Credentials => ({ accessKeyId: account, secretAccessKey: 'any' });

/** @param url of a local KMS. */
export function rolesOf(t: Owner, url: string) {
  const control = caller(url);
  const clients: { destroy(): void }[] = [];
  const kept = <Client extends { destroy(): void }>(client: Client) => {
    clients.push(client);
    return client;
  };
  t.teardown(() => {
    for (const client of clients) client.destroy();
  });
  const sts = (credentials: Credentials) => kept(new STSClient({ endpoint: url, region: 'us-east-1', credentials }));
  return {
    sts,
    kms: (credentials: Credentials, region = 'us-east-1') =>
      kept(new KMSClient({ endpoint: url, region, credentials, maxAttempts: 1 })),
    /** Registers a role, or changes what was registered. */
    register: (role: object) => control('PUT', '/_local/roles', role),
    expire: (arn?: string) => control('POST', '/_local/expired-sessions', arn === undefined ? undefined : { arn }),
    /** Assumes a role as a user of an account. */
    assume: async (RoleArn: string, by = '111122223333', input: Partial<AssumeRoleCommandInput> = {}) => {
      const command = new AssumeRoleCommand({ RoleArn, RoleSessionName: 'test', ...input });
      const { Credentials: given } = await sts(userOf(by)).send(command);
      const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, SessionToken: sessionToken } = given ?? {};
      if (accessKeyId === undefined || secretAccessKey === undefined || sessionToken === undefined) {
        throw new Error('AssumeRole answers without credentials');
      }
      return { accessKeyId, secretAccessKey, sessionToken };
    },
  };
}
