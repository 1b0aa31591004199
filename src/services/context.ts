/** What every service works with. */
import type { FastifyBaseLogger } from 'fastify';
import type { Database } from '../database/client.ts';
import type { Queue } from '../database/queue.ts';
import type { Kms } from '../kms/client.ts';
import type { OwnershipSearch } from '../kms/ownership.ts';
import type { WriteTimes } from '../kms/permit.ts';
import type { ChangeFeed } from './changes.ts';
import type { FailurePoints } from './failure-points.ts';
import type { Metrics } from './metrics.ts';

/** Milliseconds. */
export type Times = {
  /** How long a worker keeps a key without a sign of life. */
  lease: number;
  write: WriteTimes;
  /** How long KMS's answers may be older than a write. */
  settle: number;
  /** How often each key is observed. */
  refresh: number;
};

export type Services = {
  database: Database;
  queue: Queue;
  changes: ChangeFeed;
  metrics: Metrics;
  /** The way to KMS for a provider, by its name; undefined for one that does not exist. */
  kmsFor(provider: string): Kms | undefined;
  providerNames(): string[];
  ownershipTagName: string;
  /** The way to find a key by its ownership tag. */
  ownershipSearchFor(kms: Kms): OwnershipSearch;
  times: Times;
  failurePoints: FailurePoints;
  log: FastifyBaseLogger;
};

/** Who asks for a change, and where it comes from. */
export type Actor = { actor: string; requestId: string };
