/** Clients for KMS: where it is, and as whom to ask. */
import { KMSClient } from '@aws-sdk/client-kms';
import { ResourceGroupsTaggingAPIClient } from '@aws-sdk/client-resource-groups-tagging-api';
import { STSClient } from '@aws-sdk/client-sts';
import type { AssumeRole } from '../domain/provider.ts';
import { answerRules, demandAnswers } from './answers.ts';
import { type OnCall, tellOfCalls } from './call-count.ts';
import { KmsClock } from './clock.ts';
import { Connections } from './connections.ts';
import { credentialsFor } from './credentials.ts';
import { type CallerIdentity, rememberedIdentity } from './identity.ts';
import { backdatedSigner, demandPermits, type WriteTimes } from './permit.ts';
import { type Quotas, quotaMiddleware, quotaPosition } from './quotas.ts';

/** Milliseconds after which a read is given up. */
const readTimeout = 8000;

export type KmsTarget = {
  /** null: AWS itself. */
  endpoint: string | null;
  /** By what the journal knows the endpoint. */
  endpointName: string;
  region: string;
  /** Whether the name of the endpoint may stand for this machine. */
  takesLoopback?: boolean;
  /** null: the credentials that the service has are used as they are. */
  assumeRole: AssumeRole | null;
  onCall: OnCall;
  times: WriteTimes;
  /** Whether AWS is to refuse writes that come late, by a signature that expires early. */
  expiringWrites: boolean;
  /** Of the account and Region. Reads wait for their turn by themselves; who sends a write waits before. */
  quotas: Quotas;
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
  sts: STSClient;
  region: string;
  /** By what the journal knows the endpoint. */
  endpointName: string;
  quotas: Quotas;
  /** KMS's own time. */
  clock: KmsClock;
  /**
   * Whose account it is; null where that can't be told.
   * @throws KmsFailure of kind `credentials`.
   */
  identity(): Promise<CallerIdentity | null>;
  close(): void;
};

/** Makes the clients. */
export function openKms(target: KmsTarget): Kms {
  const { endpoint, endpointName, region, assumeRole, onCall, times, expiringWrites, quotas } = target;
  const connections = new Connections({ takesLoopback: target.takesLoopback === true });
  const shared = {
    region,
    ...(endpoint === null ? {} : { endpoint }),
    credentials: credentialsFor({ endpoint, region, assumeRole, connections }),
  };
  const forQuestions = () => ({ ...shared, requestHandler: connections.handlerFor(readTimeout), maxAttempts: 3 });
  // A read has the same middleware each time: it is put together once for each command.
  const reads = new KMSClient({ ...forQuestions(), cacheMiddleware: true });
  const writes = new KMSClient({
    ...shared,
    requestHandler: connections.handlerFor(times.requestTimeout),
    maxAttempts: 1,
    ...(expiringWrites ? { signerConstructor: backdatedSigner(times.signatureLife) } : {}),
  });
  demandPermits(writes);
  // It copies each answer, for a log that there is not.
  for (const client of [reads, writes]) client.middlewareStack.remove('loggerMiddleware');
  const clock = new KmsClock();
  for (const client of [reads, writes]) {
    tellOfCalls(client, onCall);
    clock.listenTo(client);
  }
  const tagging = new ResourceGroupsTaggingAPIClient(forQuestions());
  const sts = new STSClient(forQuestions());
  const onSilence = () => connections.dropIdle();
  demandAnswers(reads, { ...answerRules.kms, deadline: readTimeout }, onSilence);
  demandAnswers(writes, { ...answerRules.kms, deadline: times.requestTimeout }, onSilence);
  demandAnswers(tagging, { ...answerRules.tagging, deadline: readTimeout }, onSilence);
  demandAnswers(sts, { ...answerRules.sts, deadline: readTimeout }, onSilence);
  reads.middlewareStack.addRelativeTo(quotaMiddleware(quotas, { waits: true }), quotaPosition);
  writes.middlewareStack.addRelativeTo(quotaMiddleware(quotas, { waits: false }), quotaPosition);
  tagging.middlewareStack.addRelativeTo(quotaMiddleware(quotas, { waits: true }), quotaPosition);
  return {
    reads,
    writes,
    tagging,
    sts,
    region,
    endpointName,
    quotas,
    clock,
    identity: rememberedIdentity(sts, assumeRole?.role_arn ?? null),
    close: () => {
      for (const client of [reads, writes, tagging, sts]) client.destroy();
    },
  };
}
