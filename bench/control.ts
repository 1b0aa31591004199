/** The control of the read benchmark: Fastify with one prepared `pg` query by primary key, and nothing else. */
import fastify from 'fastify';
import { Pool } from 'pg';
import { keyColumns, keyTables } from '../src/database/columns.ts';

const pool = new Pool({ connectionString: process.env['DATABASE_URL'], max: 15 });
const app = fastify();
app.get<{ Params: { id: string } }>('/v1/keys/:id', async (request) => {
  const { rows } = await pool.query({
    name: 'find_key',
    text: `SELECT ${keyColumns} FROM ${keyTables} WHERE keys.id = $1`,
    values: [request.params.id],
  });
  return rows[0];
});
const url = await app.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(`Control on ${url}\n`);
