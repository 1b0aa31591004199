/** What every service works with. */
import type { FastifyBaseLogger } from 'fastify';
import type { Retention, Web } from '../config.ts';
import type { Database } from '../database/client.ts';
import type { Notifications } from '../database/notifications.ts';
import type { Rights } from '../domain/access.ts';
import type { Kms } from '../kms/client.ts';
import type { OwnershipSearch } from '../kms/ownership.ts';
import type { WriteTimes } from '../kms/permit.ts';
import type { Quotas } from '../kms/quotas.ts';
import type { Callers } from './access/sign-in.ts';
import type { ChangeFeed } from './changes.ts';
import type { Clients } from './clients.ts';
import type { FailurePoints } from './failure-points.ts';
import type { Doer } from './history/log.ts';
import type { Metrics } from './metrics.ts';
import type { ProviderRules } from './provider-rules.ts';
import type { Pulse } from './pulse.ts';
import type { GapWatch } from './recovery/watch.ts';
import type { TagTrial } from './tag-trial.ts';
import type { Unmade } from './unmade.ts';

/** Milliseconds. */
export type Times = {
  /** How long a worker keeps a key without a sign of life. */
  lease: number;
  /** How long a sync may stand still before its key is left to others. */
  standstill: number;
  write: WriteTimes;
  /** How long KMS's answers may be older than a write: of the provider that is asked, or of KMS_ENDPOINT. */
  settle: number;
  /** How long a right or a principal that is new may not be known to KMS. */
  propagation: number;
};

/** The right to sync one key, with the services of the worker. It is used or released. */
export type Slot = { run(sync: (services: Services) => Promise<void>): void; release(): void };

export type Services = {
  database: Database;
  notifications: Notifications;
  /** Tells who is behind a request's credentials. */
  callers: Callers;
  changes: ChangeFeed;
  metrics: Metrics;
  /** The clients of each provider. `accessTo` checks that they lead to the right account before it gives them out. */
  clients: Clients;
  rules: ProviderRules;
  /** Which share of KMS's request quotas all processes together spend. */
  quotaShare: number;
  ownershipTagName: string;
  /** Whether keys are looked for by the Resource Groups Tagging API. */
  asksTagging: boolean;
  /** The way to find a key by its ownership tag, or by one of another name: that of before OWNERSHIP_TAG was changed. */
  ownershipSearchFor(kms: Kms, tagName?: string): OwnershipSearch;
  /** What is known of whether a KMS keeps the tags that CreateKey gives. */
  tagTrialOf(kms: Kms): TagTrial;
  unmade: Unmade;
  /** Knows whether the database is as new as the world. */
  watch: GapWatch;
  /** Milliseconds since the epoch by PostgreSQL's clock: what is recorded of times to come is compared with it. */
  now(): number;
  times: Times;
  retention: Retention;
  /** What holds for those who come by HTTP. */
  web: Web;
  failurePoints: FailurePoints;
  /** What answers at KMS_ENDPOINT in place of a KMS; null: nothing, as far as is known. */
  endpointFault(): string | null;
  /**
   * A slot for a key of which an intent is about to be recorded, and a token of CreateKey's quota where it is to be made, if that
   * can be had at once; else null, as where this process leaves the work to others.
   * @param quotas those in which the token is; null: KMS has the key.
   */
  reserveSlot(provider: string, keyId: string, quotas: Quotas | null): Slot | null;
  /** null: this process leaves the work to others. */
  pulse: Pulse | null;
  log: FastifyBaseLogger;
};

/** Who asks for a change, where it comes from, and what they may do. */
export type Actor = Doer & { requestId: string; rights: Rights };
