import { test } from 'tap';
import { giveMemoryBack } from '../../src/idle-memory.ts';
import { eventually } from '../support/service.ts';

test('memory that a burst has left is given back once it is over', async (t) => {
  const { rss } = process.memoryUsage;
  const before = rss();
  const { stop } = giveMemoryBack({ interval: 200, idleLooks: 2 });
  t.teardown(stop);
  let burst: unknown[] | null = Array.from({ length: 1_000_000 }, (_, index) =>
    Array.from({ length: 20 }, () => index),
  );
  t.equal(burst.length, 1_000_000);
  const most = rss();
  t.ok(most > 1.15 * before, `${before} bytes, and ${most} in the burst`);
  burst = null;
  await eventually('it is given back', async () => rss() < before + (most - before) / 3, 30_000);
});
