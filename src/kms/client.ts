/** Clients for KMS: where it is, and as whom to ask. */
import { KMSClient } from '@aws-sdk/client-kms';
import { ResourceGroupsTaggingAPIClient } from '@aws-sdk/client-resource-groups-tagging-api';
import {
  createCredentialChain,
  fromContainerMetadata,
  fromEnv,
  fromIni,
  fromNodeProviderChain,
  fromTokenFile,
} from '@aws-sdk/credential-providers';
import { type OnCall, tellOfCalls } from './call-count.ts';
import { backdatedSigner, demandPermits, type WriteTimes } from './permit.ts';

/** Milliseconds after which a call is given up. */
const connectTimeout = 2000;
const readTimeout = 8000;

export type KmsTarget = {
  /** null: AWS itself. */
  endpoint: string | null;
  region: string;
  onCall: OnCall;
  times: WriteTimes;
  /** Whether AWS is to refuse writes that come late, by a signature that expires early. */
  expiringWrites: boolean;
};

/** The way to one account and Region. */
export type Kms = {
  /** Reads are repeated by the SDK when they fail in passing. */
  reads: KMSClient;
  /**
   * Writes are sent once, and with a permit only: the sync engine records each attempt, and repeats. CreateKey must not
   * be repeated blindly.
   */
  writes: KMSClient;
  /** AWS's index of tags, where keys are looked for by it. */
  tagging: ResourceGroupsTaggingAPIClient;
  close(): void;
};

/**
 * Makes the clients. Credentials come from the SDK's own chain; an endpoint other than AWS, where none are configured,
 * is called with fixed ones that mean nothing to AWS.
 */
export function openKms({ endpoint, region, onCall, times, expiringWrites }: KmsTarget): Kms {
  const requestHandler = (requestTimeout: number) => ({
    connectionTimeout: connectTimeout,
    requestTimeout,
    throwOnRequestTimeout: true,
    httpsAgent: { maxSockets: 200, keepAlive: true },
    httpAgent: { maxSockets: 200, keepAlive: true },
  });
  const shared = {
    region,
    ...(endpoint === null ? {} : { endpoint }),
    credentials: endpoint === null ? fromNodeProviderChain() : credentialsForOtherEndpoints(),
  };
  const reads = new KMSClient({ ...shared, requestHandler: requestHandler(readTimeout), maxAttempts: 3 });
  const writes = new KMSClient({
    ...shared,
    requestHandler: requestHandler(times.requestTimeout),
    maxAttempts: 1,
    ...(expiringWrites ? { signerConstructor: backdatedSigner(times.signatureLife) } : {}),
  });
  demandPermits(writes);
  for (const client of [reads, writes]) tellOfCalls(client, onCall);
  const tagging = new ResourceGroupsTaggingAPIClient({
    ...shared,
    requestHandler: requestHandler(readTimeout),
    maxAttempts: 3,
  });
  return {
    reads,
    writes,
    tagging,
    close: () => {
      for (const client of [reads, writes, tagging]) client.destroy();
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
