/**
 * `npm run bench:database`: what a create, an update and a look that finds nothing new cost the database, in writing
 * transactions and in bytes of WAL. What an idle service writes in the same time is taken off. Options: --keys N (looked at),
 * --changes N, --seconds N (of looks).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Client } from 'pg';
import { type Owner, startProcess } from '../test/support/process.ts';
import { print, runBenchmark, startFleet } from './fleet.ts';

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000' },
    changes: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '60' },
  },
});
const [keyCount, changes, lookTime] = [Number(values.keys), Number(values.changes), Number(values.seconds) * 1000];
/** Seconds between two looks at a key. */
const interval = 20;

type Counters = { at: number; commits: number; wal: number };

/** A transaction that only reads has no number. */
async function counters(database: Client): Promise<Counters> {
  const { rows } = await database.query<{ commits: number; wal: number }>(
    `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::float8 AS commits,
      (pg_current_wal_insert_lsn() - '0/0')::float8 AS wal`,
  );
  return { at: performance.now(), ...(rows[0] as Omit<Counters, 'at'>) };
}

type Cost = { commits: number; wal: number };

/** What the work costs in each of its parts, less what goes on anyway. @param work answers with the number of its parts. */
async function costOf(database: Client, idle: Cost, work: () => Promise<number>): Promise<Cost> {
  const before = await counters(database);
  const parts = await work();
  const after = await counters(database);
  const seconds = (after.at - before.at) / 1000;
  const of = (name: 'commits' | 'wal') => (after[name] - before[name] - idle[name] * seconds) / parts;
  return { commits: of('commits'), wal: of('wal') };
}

async function measure(owner: Owner): Promise<void> {
  const { connectionString, database, kmsUrl } = await startFleet(owner, keyCount, []);
  // Each page that is written first after a checkpoint goes to the WAL whole, which says nothing of the rows.
  await database.query("ALTER SYSTEM SET full_page_writes = 'off'");
  await database.query('SELECT pg_reload_conf()');
  const environment = { DATABASE_URL: connectionString, KMS_ENDPOINT: kmsUrl };
  const { call } = await startProcess(owner, environment);
  await call('POST', '/v1/keys', { description: 'the first one' });
  await delay(2000);
  const start = await counters(database);
  await delay(5000);
  const end = await counters(database);
  const seconds = (end.at - start.at) / 1000;
  const idle = { commits: (end.commits - start.commits) / seconds, wal: (end.wal - start.wal) / seconds };
  print(`an idle service      ${idle.commits.toFixed(1)} commits and ${idle.wal.toFixed(0)} bytes of WAL a second`);

  const ids: string[] = [];
  const each = async (work: (index: number) => Promise<unknown>) => {
    for (let index = 0; index < changes; index += 1) await work(index);
    return changes;
  };
  const created = await costOf(database, idle, () =>
    each(async (index) => {
      ids.push((await call('POST', '/v1/keys', { description: `key ${index}` })).body.id);
    }),
  );
  print(`a create             ${cost(created)}`);
  const updated = await costOf(database, idle, () =>
    each((index) => call('PATCH', `/v1/keys/${ids[index]}`, { description: `key ${index}, changed` })),
  );
  print(`an update            ${cost(updated)}`);
  // As in a service of some age: due at all times, and each page with the room that its rows need.
  await call('PATCH', '/v1/providers/default', { refresh_interval_seconds: interval });
  await delay(2 * interval * 1000);
  const looks = async () => {
    const { rows } = await database.query<{ sum: number }>('SELECT sum(status_version)::float8 AS sum FROM work');
    return rows[0]?.sum ?? 0;
  };
  const looked = await costOf(database, idle, async () => {
    const before = await looks();
    await delay(lookTime);
    return (await looks()) - before;
  });
  print(`a look               ${cost(looked)}`);
}

function cost({ commits, wal }: Cost): string {
  return `${commits.toFixed(2)} commits, ${wal.toFixed(0)} bytes of WAL`;
}

await runBenchmark(measure);
