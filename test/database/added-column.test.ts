import { test } from 'tap';
import { startService } from '../support/service.ts';

test('a column that a migration adds fails no request and loses no sync of the version before', async (t) => {
  const { call, services } = await startService(t);
  const { pool } = services.database;
  const created = await Promise.all(['a', 'b', 'c'].map((name) => call('POST', '/v1/keys', { description: name })));
  const ids = created.map(({ body }) => body.id);
  const id = ids[0] ?? '';
  /** So many at once that every connection is used, and prepares its statements. */
  const round = async (number: number) => {
    const reads = [
      `/v1/keys/${id}`,
      '/v1/keys',
      `/v1/keys/${id}/events`,
      `/v1/keys/${id}/revisions`,
      '/v1/providers/default',
    ];
    const answers = await Promise.all([
      ...Array.from({ length: 30 }, (_, index) => call('GET', reads[index % reads.length] ?? '')),
      ...ids.map((one) =>
        call(
          'PATCH',
          `/v1/keys/${one}`,
          { description: `round ${number}` },
          { prefer: 'wait=60', 'idempotency-key': `${one}-${number}` },
        ),
      ),
      call('PATCH', '/v1/providers/default', { default_tags: { round: `${number}` } }),
    ]);
    return answers.map(({ status }) => status);
  };
  const allWell = Array.from({ length: 30 + ids.length + 1 }, () => 200);
  t.same(await round(1), allWell);
  t.same(await round(2), allWell);
  for (const table of [
    'keys',
    'providers',
    'events',
    'revisions',
    'kms_writes',
    'idempotent_requests',
    'installation',
  ]) {
    await pool.query(`ALTER TABLE ${table} ADD COLUMN of_the_next_version text`);
  }
  t.same(await round(3), allWell);
  t.same(await round(4), allWell);
  for (const one of ids) {
    const { body } = await call('POST', `/v1/keys/${one}/sync`);
    t.match(body, { description: 'round 4', status: { state: 'in_sync', drift: [] } });
  }
});
