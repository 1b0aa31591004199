import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'tap';
import { withEvents } from '../../scripts/event-table.ts';
import { strayWrites } from '../../scripts/stray-writes.ts';

const page = await readFile(path.resolve(import.meta.dirname, '../../docs/events.md'), 'utf8');

test('docs/events.md lists every type of event as the code describes it (npm run docs writes it)', async (t) => {
  t.equal(withEvents(page), page);
});

test('a write of the events outside their log is found, by Prisma and by SQL', async (t) => {
  const elsewhere = 'src/services/keys/commands.ts';
  for (const write of [
    'await transaction.event.create({ data })',
    'const { event } = prisma;\nevent\n  .deleteMany()',
    'INSERT INTO events (type) VALUES (1)',
    'DELETE FROM\n  events',
    'UPDATE "events" SET data = 1',
  ]) {
    t.equal(strayWrites(elsewhere, write).length, 1, write);
    t.same(strayWrites('src/services/history/log.ts', write), []);
  }
  for (const read of ['prisma.event.findFirst({})', 'SELECT 1 FROM events FOR UPDATE', 'watcher.event.createdAt']) {
    t.same(strayWrites(elsewhere, read), [], read);
  }
});
