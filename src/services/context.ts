/** What every service works with. */
import type { FastifyBaseLogger } from 'fastify';
import type { Database } from '../database/client.ts';
import type { Queue } from '../database/queue.ts';
import type { Kms } from '../kms/client.ts';
import type { ChangeFeed } from './changes.ts';
import type { Metrics } from './metrics.ts';

export type Services = {
  database: Database;
  queue: Queue;
  changes: ChangeFeed;
  metrics: Metrics;
  /** The way to KMS for a provider, by its name; undefined for one that does not exist. */
  kmsFor(provider: string): Kms | undefined;
  providerNames(): string[];
  ownershipTagName: string;
  log: FastifyBaseLogger;
};

/** Who asks for a change, and where it comes from. */
export type Actor = { actor: string; requestId: string };
