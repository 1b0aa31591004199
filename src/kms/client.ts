/** Clients for KMS: where it is, and as whom to ask. */
import { KMSClient } from '@aws-sdk/client-kms';
import {
  createCredentialChain,
  fromContainerMetadata,
  fromEnv,
  fromIni,
  fromNodeProviderChain,
  fromTokenFile,
} from '@aws-sdk/credential-providers';

import { type OnCall, tellOfCalls } from './call-count.ts';

/** Milliseconds after which a call is given up. */
const connectTimeout = 2000;
const requestTimeout = 8000;

/**
 * Milliseconds from the start of a call until it can no longer take effect: its own time-out, and a margin for what
 * the network still holds back.
 */
export const landsWithin = requestTimeout + 22_000;

export type KmsTarget = {
  /** null: AWS itself. */
  endpoint: string | null;
  region: string;
  onCall: OnCall;
};

/** The way to one account and Region. */
export type Kms = {
  /** Reads are repeated by the SDK when they fail in passing. */
  reads: KMSClient;
  /** Writes are sent once: the sync engine records each attempt, and repeats. CreateKey must not be repeated blindly. */
  writes: KMSClient;
  close(): void;
};

/**
 * Makes the clients. Credentials come from the SDK's own chain; an endpoint other than AWS, where none are configured,
 * is called with fixed ones that mean nothing to AWS.
 */
export function openKms({ endpoint, region, onCall }: KmsTarget): Kms {
  const shared = {
    region,
    ...(endpoint === null ? {} : { endpoint }),
    credentials: endpoint === null ? fromNodeProviderChain() : credentialsForOtherEndpoints(),
    requestHandler: {
      connectionTimeout: connectTimeout,
      requestTimeout,
      throwOnRequestTimeout: true,
      httpsAgent: { maxSockets: 200, keepAlive: true },
      httpAgent: { maxSockets: 200, keepAlive: true },
    },
  };
  const reads = new KMSClient({ ...shared, maxAttempts: 3 });
  const writes = new KMSClient({ ...shared, maxAttempts: 1 });
  for (const client of [reads, writes]) tellOfCalls(client, onCall);
  return {
    reads,
    writes,
    close: () => {
      reads.destroy();
      writes.destroy();
    },
  };
}

/** The chain without the instance metadata service, whose look-up takes seconds where there is none. */
function credentialsForOtherEndpoints() {
  const inContainer =
    process.env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'] ?? process.env['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
  return createCredentialChain(
    fromEnv(),
    fromIni(),
    fromTokenFile(),
    ...(inContainer === undefined ? [] : [fromContainerMetadata()]),
    async () => ({ accessKeyId: '111122223333', secretAccessKey: 'not-a-secret-for-a-local-kms' }),
  );
}
