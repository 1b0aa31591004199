/**
 * `npm run bench:search`: how long PostgreSQL takes for a page of the keys in which `q` is found, with the index of their texts and
 * without. Options: --keys N.
 */
import { parseArgs } from 'node:util';
import type { Client } from 'pg';
import { Prisma } from '../src/database/client.ts';
import { keyColumns, keyTables } from '../src/database/columns.ts';
import { unlimited } from '../src/domain/access.ts';
import { conditionsOf } from '../src/services/keys/filters.ts';
import { orderBy } from '../src/services/keys/sort.ts';
import type { Owner } from '../test/support/process.ts';
import { print, runBenchmark, startFleet } from './fleet.ts';
import { median } from './statistics.ts';

const { values } = parseArgs({ options: { keys: { type: 'string', default: '100000' } } });
const count = Number(values.keys);
const samples = 7;

/** Keys like the one that there is: a description, three tags, an ARN. */
const multiply = `
  WITH made AS (
    SELECT gen_random_uuid() AS id, gen_random_uuid()::text AS key_id, number FROM generate_series(1, $1) AS number),
  recorded AS (
    INSERT INTO keys SELECT (jsonb_populate_record(likeness, jsonb_build_object(
      'id', made.id, 'key_id', made.key_id, 'arn', 'arn:aws:kms:us-east-1:111122223333:key/' || made.key_id,
      'description', 'Key ' || number || ' of the service ' || md5((number % 997)::text),
      'created_at', now() - number * interval '1 second',
      'tags_all', jsonb_build_object('team', 'team-' || number % 50, 'env', 'prod', 'cost-center', md5(number::text)))
    )).* FROM keys AS likeness, made RETURNING id, provider)
  INSERT INTO work (key_ref, provider, due_at) SELECT id, provider, now() + interval '1 day' FROM recorded`;

/** Milliseconds of the statement that GET /v1/keys?q= sends, by the median of some runs; and which index it went by. */
async function timeOf(database: Client, q: string): Promise<{ milliseconds: number; index: string }> {
  const { text, values } = statementFor(q);
  const times: number[] = [];
  let plan = '';
  for (let run = 0; run < samples; run += 1) {
    const { rows } = await database.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values);
    const [explained] = rows[0]['QUERY PLAN'];
    times.push(explained['Execution Time'] + explained['Planning Time']);
    plan = JSON.stringify(explained);
  }
  const [, index = 'none'] = /"Index Name":"(keys_(?!pkey)\w+)"/.exec(plan) ?? [];
  return { milliseconds: median(times), index };
}

function statementFor(q: string) {
  const [from, found] = [
    Prisma.raw(`${keyColumns} FROM ${keyTables}`),
    Prisma.join(conditionsOf({ q }, unlimited), ' AND '),
  ];
  return Prisma.sql`SELECT ${from} WHERE ${found} ORDER BY ${orderBy('-created_at').by} LIMIT 51`;
}

async function measure(owner: Owner): Promise<void> {
  const { database } = await startFleet(owner, 1, []);
  await database.query(multiply, [count]);
  await database.query('VACUUM ANALYZE keys, work');
  const { rows } = await database.query(
    "SELECT description, key_id FROM keys WHERE description LIKE 'Key % of%' LIMIT 1",
  );
  const [row] = rows;
  print(`a page of the keys with a text, of ${count} keys (median of ${samples})`);
  const wanted = [
    ['a whole key id', row.key_id],
    ['8 letters of it', row.key_id.slice(4, 16)],
    ['a text that is nowhere', 'nowhere to be found'],
    ['a service (1 in 1000)', row.description.slice(-20)],
    ['a team (1 in 50)', 'team-17'],
    ['a text that all have', 'service'],
    ['two letters', 'zz'],
  ];
  const withIndex = [];
  for (const [, q] of wanted) withIndex.push(await timeOf(database, q));
  const { rows: sizes } = await database.query(
    "SELECT pg_size_pretty(pg_relation_size('keys_search_text_idx')) AS size",
  );
  await database.query('DROP INDEX keys_search_text_idx');
  for (const [at, [name = '', q]] of wanted.entries()) {
    const { milliseconds, index } = withIndex[at] ?? { milliseconds: Number.NaN, index: '' };
    const control = await timeOf(database, q);
    const ratio = control.milliseconds / milliseconds;
    print(
      `${name.padEnd(24)}${milliseconds.toFixed(1).padStart(8)} ms by ${index.padEnd(24)} without ${control.milliseconds.toFixed(1).padStart(8)} ms by ${control.index.padEnd(24)} ratio ${ratio.toFixed(1)}`,
    );
  }
  print(`the index takes ${sizes[0].size}`);
}

await runBenchmark(measure);
