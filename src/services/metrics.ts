/** What is counted and measured, in Prometheus' words. Names and labels are a contract: docs/metrics.md has them all. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Database } from '../database/client.ts';
import { keyTables } from '../database/columns.ts';
import type { Limiter } from '../kms/quotas.ts';
import { silence } from './fleet.ts';
import { lastGap } from './rows/due.ts';

/** Milliseconds for which figures that are read from the database stay good. */
const freshness = 5000;

export type Metrics = {
  /** @param route its pattern, such as /v1/keys/:id. */
  request(method: string, route: string, status: number, seconds: number): void;
  /** @param outcome ok, or the kind of failure. */
  kmsCall(operation: string, outcome: string): void;
  sync(outcome: 'done' | 'broke_off', seconds: number): void;
  /** All of it as Prometheus text. @throws when the database is away. */
  text(): Promise<string>;
  contentType: string;
};

type Figures = {
  keys: { provider: string; state: string; count: number }[];
  drift: { provider: string; field: string; count: number }[];
  due: number;
  held: number;
  unmanaged: { provider: string; count: number }[];
  processes: { role: string; count: number }[];
};

/** A registry of its own, so that two services in one process don't count together. */
export function createMetrics(database: Database, limiter: Limiter): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const requests = new Histogram({
    name: 'keyward_http_request_duration_seconds',
    help: 'HTTP requests by method, route and status.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  });
  const kmsCalls = new Counter({
    name: 'keyward_kms_calls_total',
    help: 'Calls to KMS by operation and outcome: ok, or the kind of failure.',
    labelNames: ['operation', 'outcome'],
    registers,
  });
  const syncs = new Histogram({
    name: 'keyward_sync_duration_seconds',
    help: 'Syncs of a key, from the taking of its lease to the record of the result.',
    labelNames: ['outcome'],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const figures = figuresOf(database);
  const gauge = (name: string, help: string, labelNames: string[], rowsOf: (now: Figures) => Row[]) => {
    const made = new Gauge({ name, help, labelNames, registers });
    return async () => {
      const rows = rowsOf(await figures());
      made.reset();
      for (const { count, ...labels } of rows) made.set(labels, count);
    };
  };
  const refresh = [
    gauge('keyward_keys', 'Keys by provider and state.', ['provider', 'state'], ({ keys }) => keys),
    gauge('keyward_drift', 'Fields that differ from what was declared.', ['provider', 'field'], ({ drift }) => drift),
    gauge('keyward_keys_due', 'Keys whose sync is due.', [], ({ due }) => [{ count: due }]),
    gauge('keyward_keys_held', 'Keys that are held after a gap.', [], ({ held }) => [{ count: held }]),
    gauge(
      'keyward_unmanaged_keys',
      "Keys in KMS that carry Keyward's ownership tag and have no record, as of the last sweep.",
      ['provider'],
      ({ unmanaged }) => unmanaged,
    ),
    gauge('keyward_processes', 'Processes that are alive, by role.', ['role'], ({ processes }) => processes),
    quotaMetrics(limiter, registers),
  ];
  return {
    request: (method, route, status, seconds) => requests.observe({ method, route, status }, seconds),
    kmsCall: (operation, outcome) => kmsCalls.inc({ operation, outcome }),
    sync: (outcome, seconds) => syncs.observe({ outcome }, seconds),
    text: async () => {
      for (const update of refresh) await update();
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

/** How fast this process may call KMS, and how long its calls waited for that. */
function quotaMetrics(limiter: Limiter, registers: Registry[]): () => Promise<void> {
  const limit = new Gauge({
    name: 'keyward_kms_quota_limit',
    help: 'Calls a second that this process allows itself, by operation.',
    labelNames: ['scope', 'operation'],
    registers,
  });
  const waited = new Counter({
    name: 'keyward_kms_quota_wait_seconds_total',
    help: 'Seconds that calls waited for their turn in the request quota, by operation and whether somebody waited for them.',
    labelNames: ['scope', 'operation', 'urgency'],
    registers,
  });
  return async () => {
    waited.reset();
    for (const { scope, operation, perSecond, waited: seconds } of limiter.figures()) {
      limit.set({ scope, operation }, perSecond);
      for (const urgency of ['interactive', 'scheduled'] as const) {
        waited.inc({ scope, operation, urgency }, seconds[urgency]);
      }
    }
  };
}

type Row = { count: number } & Record<string, string | number>;

/** Reads the figures, at most once in a while however often they are asked for. */
function figuresOf({ pool }: Database): () => Promise<Figures> {
  let known: { at: number; figures: Promise<Figures> } | undefined;
  const read = async (): Promise<Figures> => {
    const { rows } = await pool.query<Figures>(selectFigures);
    if (rows[0] === undefined) throw new Error('The figures were not read');
    return rows[0];
  };
  return () => {
    if (known === undefined || Date.now() - known.at > freshness) {
      const figures = read();
      known = { at: Date.now(), figures };
      figures.catch(() => {
        known = undefined;
      });
    }
    return known.figures;
  };
}

/** Tags of any name count as the one field `tags`: labels must not grow without bound. */
const selectFigures = `
  SELECT
    (SELECT coalesce(json_agg(rows), '[]') FROM (
      SELECT provider, state, count(*)::int AS count FROM keys GROUP BY provider, state) AS rows) AS keys,
    (SELECT coalesce(json_agg(rows), '[]') FROM (
      SELECT provider, split_part(entry ->> 'field', '.', 1) AS field, count(*)::int AS count
      FROM keys, json_array_elements(drift) AS entry WHERE state IN ('drifted', 'pending_deletion') GROUP BY 1, 2) AS rows) AS drift,
    (SELECT count(*)::int FROM work WHERE due_at <= now()) AS due,
    (SELECT count(*)::int FROM ${keyTables} WHERE gap_seen < ${lastGap} AND state <> 'deleted') AS held,
    (SELECT coalesce(json_agg(rows), '[]') FROM (
      SELECT provider, count(*)::int AS count FROM foreign_keys AS seen
      WHERE claimed_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM former_keys AS former WHERE former.key_id = seen.key_id AND former.deletion <> 'left')
      GROUP BY provider) AS rows) AS unmanaged,
    (SELECT coalesce(json_agg(rows), '[]') FROM (
      SELECT role, count(*)::int AS count FROM workers
      WHERE heartbeat_at > now() - ${silence} * interval '1 millisecond' GROUP BY role) AS rows) AS processes`;
