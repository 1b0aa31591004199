import { test } from 'tap';
import { connectTo, newDatabase } from '../support/postgres.ts';
import { startService } from '../support/service.ts';

/** Notes, of each write that goes on record, whether PostgreSQL keeps it through a crash. */
const note = `
  CREATE TABLE kept (setting text);
  CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO kept VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
  CREATE TRIGGER note AFTER INSERT OR UPDATE ON kms_writes EXECUTE FUNCTION note();
  CREATE TRIGGER note AFTER INSERT OR UPDATE ON keys EXECUTE FUNCTION note()`;

test('what goes on record before a call outlives a crash of a PostgreSQL that is set to answer before it has written', async (t) => {
  const databaseUrl = await newDatabase(t);
  const client = await connectTo(t, databaseUrl);
  await client.query(note);
  const { rows: set } = await client.query('SHOW synchronous_commit');
  t.same(set, [{ synchronous_commit: 'off' }], 'the server of the tests is such a one');
  const { call } = await startService(t, { DATABASE_URL: databaseUrl });
  const { body } = await call('POST', '/v1/keys', { description: 'before' });
  await call('PATCH', `/v1/keys/${body.id}`, { description: 'after' });
  const { rows } = await client.query('SELECT DISTINCT setting FROM kept');
  t.same(rows, [{ setting: 'on' }]);
});
