/**
 * A clock of PostgreSQL's that can be moved: functions that stand before PostgreSQL's own on the search path of every new
 * connection. What PostgreSQL writes by CURRENT_TIMESTAMP, the defaults of columns, goes by the right clock all the same.
 */
import type { Client } from 'pg';

const install = `
  CREATE SCHEMA chaos;
  CREATE TABLE chaos.clock (step interval NOT NULL);
  INSERT INTO chaos.clock VALUES ('0');
  CREATE FUNCTION chaos.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS 'SELECT pg_catalog.now() + step FROM chaos.clock';
  CREATE FUNCTION chaos.transaction_timestamp() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS 'SELECT pg_catalog.now() + step FROM chaos.clock';
  CREATE FUNCTION chaos.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS 'SELECT pg_catalog.statement_timestamp() + step FROM chaos.clock';
  CREATE FUNCTION chaos.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL RESTRICTED
    AS 'SELECT pg_catalog.clock_timestamp() + step FROM chaos.clock';`;

/** Puts the clock into a database whose migrations are applied. Connections that there are go by the old one. */
export async function installClock(database: Client): Promise<void> {
  await database.query(install);
  const { rows } = await database.query<{ statement: string }>(
    "SELECT format('ALTER DATABASE %I SET search_path = chaos, public, pg_catalog', current_database()) AS statement",
  );
  await database.query(rows[0]?.statement ?? '');
}

/** Moves the clock. @param seconds from the right time; below 0: behind. */
export async function stepClock(database: Client, seconds: number): Promise<void> {
  await database.query("UPDATE chaos.clock SET step = $1 * interval '1 second'", [seconds]);
}
