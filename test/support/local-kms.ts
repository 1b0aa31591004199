/** A local KMS of its own for a test, spoken to with the unmodified SDK. */
import path from 'node:path';
import {
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DescribeKeyCommand,
  type KeyMetadata,
  type KMSClient,
} from '@aws-sdk/client-kms';
import type { Test } from 'tap';
import { startLocalKms } from '../../src/local/kms/index.ts';
import type { Settings } from '../../src/local/kms/settings.ts';
import { temporaryFolder } from './process.ts';
import { kmsClient, kmsControl } from './service.ts';

export const account = '111122223333';
export const region = 'us-east-1';

/** Starts one; it is stopped when the test ends. */
export async function startKms(t: Test, settings: Partial<Settings> = {}) {
  const dataDir = path.join(await temporaryFolder(t), 'kms');
  const server = await startLocalKms({ dataDir, settings });
  const clients: KMSClient[] = [];
  const client = (clientAccount = account, clientRegion = region) => {
    const made = kmsClient(server.url, clientAccount, clientRegion);
    clients.push(made);
    return made;
  };
  t.teardown(async () => {
    for (const made of clients) made.destroy();
    await server.close();
  });
  const kms = client();
  return {
    url: server.url,
    kms,
    client,
    control: kmsControl(server.url),
    /** Makes a key. @returns its metadata, id and ARN. */
    create: (input: CreateKeyCommandInput = {}) => createKey(kms, input),
  };
}

export async function createKey(kms: KMSClient, input: CreateKeyCommandInput = {}) {
  const { KeyMetadata } = await kms.send(new CreateKeyCommand(input));
  return identified(KeyMetadata);
}

export async function describe(kms: KMSClient, KeyId: string) {
  const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId }));
  return identified(KeyMetadata);
}

function identified(metadata: KeyMetadata | undefined) {
  if (metadata?.KeyId === undefined || metadata.Arn === undefined) throw new Error('A key without id and ARN');
  return { ...metadata, KeyId: metadata.KeyId, Arn: metadata.Arn };
}

/** Holds that a call is refused with this error, HTTP 400 and these words; no words: any. */
export async function refuses(t: Test, call: Promise<unknown>, name: string, message?: string | RegExp) {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason as Error & { $metadata?: { httpStatusCode?: number } },
  );
  t.equal(error?.name, name, `${name}: ${error?.message}`);
  t.equal(error?.$metadata?.httpStatusCode, 400);
  if (message instanceof RegExp) t.match(error?.message, message);
  else if (message !== undefined) t.equal(error?.message, message);
}

export function keyArn(keyId: string, place = { account, region }): string {
  return `arn:aws:kms:${place.region}:${place.account}:key/${keyId}`;
}

export const unknownId = '00000000-0000-4000-8000-000000000000';
