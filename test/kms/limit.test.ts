import { setImmediate } from 'node:timers/promises';
import { test } from 'tap';
import { Limit } from '../../src/kms/limit.ts';
import { Urgency, withUrgency } from '../../src/kms/urgency.ts';

/** Ten calls a second, five at once; a limit whose five are spent. */
async function spentLimit() {
  const limit = new Limit(10, () => ({ share: 1, processes: 1 }));
  for (let count = 0; count < 5; count += 1) await limit.take(false);
  return limit;
}

test('what somebody waits for goes first, also when that is known only later', async (t) => {
  const limit = await spentLimit();
  const order: string[] = [];
  const queue = (name: string, urgency: Urgency) =>
    withUrgency(urgency, () => limit.take(false)).then(() => order.push(name));
  const hurried = new Urgency(false);
  const calls = [
    queue('scheduled', new Urgency(false)),
    queue('hurried', hurried),
    queue('interactive', new Urgency(true)),
  ];
  hurried.isInteractive = true;
  await Promise.all(calls);
  t.same(order, ['hurried', 'interactive', 'scheduled']);
  t.ok(limit.waited.interactive > 0 && limit.waited.scheduled > 0);
});

test('scheduled work leaves a call for somebody who comes', async (t) => {
  const limit = await spentLimit();
  const waits = Array.from({ length: 5 }, () => withUrgency(new Urgency(false), () => limit.take(false)));
  await waits[0];
  const mine = limit.take(false).then(() => 'at once');
  t.equal(await Promise.race([mine, setImmediate('later')]), 'at once');
  await Promise.all(waits);
});

test('waits end when the process stops, and calls that need not wait go out', async (t) => {
  const limit = new Limit(5, () => ({ share: 0.001, processes: 1 }));
  await t.resolves(limit.take(true), 'one is saved up');
  const waiting = limit.take(false);
  limit.close();
  await t.rejects(waiting, { message: /this process stops/ });
  await t.rejects(limit.take(true), { message: /this process stops/ });
});
