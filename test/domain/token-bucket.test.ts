import fc from 'fast-check';
import { test } from 'tap';
import { type Bucket, factorAt, fill, type Rate, rateOf, slowed, waitFor } from '../../src/domain/token-bucket.ts';

const quotas = fc.constantFrom(5, 10, 15, 100, 500, 1000, 2000);
const shares = fc.double({ min: 0.05, max: 1, noNaN: true });

/** When each of the calls goes out that ask in this order, each so many milliseconds after the one before has gone. */
function departures(rate: Rate, pauses: number[], start: number): number[] {
  let bucket: Bucket = { tokens: rate.capacity, at: start };
  let now = start;
  return pauses.map((pause) => {
    now += pause;
    bucket = fill(bucket, rate, now);
    now += Math.max(0, waitFor(1, bucket, rate));
    bucket = fill(bucket, rate, now);
    bucket.tokens -= 1;
    return now;
  });
}

test('in any time, no more calls go out than the bucket holds and the rate gives', (t) => {
  fc.assert(
    fc.property(quotas, shares, fc.array(fc.nat(300), { maxLength: 60 }), (quota, share, pauses) => {
      const rate = rateOf(quota, { share, processes: 1 }, 1);
      const times = departures(rate, pauses, 0);
      for (const [first, from] of times.entries()) {
        for (const [last, until] of times.entries()) {
          const calls = last - first + 1;
          if (calls > 0 && calls > rate.capacity + ((until - from) / 1000) * rate.perSecond + 1e-6) return false;
        }
      }
      return true;
    }),
    { numRuns: 300 },
  );
  t.end();
});

test("KMS's own bucket never refuses what the processes send, also when calls are late", (t) => {
  const processes = fc.integer({ min: 1, max: 5 });
  const busy = fc.array(fc.record({ pause: fc.nat(100), late: fc.nat(100) }), { minLength: 10, maxLength: 60 });
  fc.assert(
    fc.property(
      quotas,
      shares,
      processes,
      fc.array(busy, { minLength: 5, maxLength: 5 }),
      (quota, share, count, load) => {
        // With a lone token for each of so many processes there is no room left for lateness.
        const isTight = count > quota / 2;
        const rate = rateOf(quota, { share, processes: count }, 1);
        const arrivals = load.slice(0, count).flatMap((calls) => {
          const pauses = calls.map(({ pause }) => pause);
          return departures(rate, pauses, 0).map((sent, index) => sent + (isTight ? 0 : (calls[index]?.late ?? 0)));
        });
        let kms: Bucket = { tokens: quota, at: 0 };
        for (const now of arrivals.sort((first, second) => first - second)) {
          kms = fill(kms, { perSecond: quota, capacity: quota }, now);
          if (kms.tokens < 1 - 1e-6) return false;
          kms.tokens -= 1;
        }
        return true;
      },
    ),
    { numRuns: 1000 },
  );
  t.end();
});

test('a lone call never waits, however small the part', (t) => {
  fc.assert(
    fc.property(quotas, shares, fc.integer({ min: 1, max: 100 }), (quota, share, count) => {
      const rate = rateOf(quota, { share, processes: count }, 1);
      return waitFor(1, { tokens: rate.capacity, at: 0 }, rate) <= 0;
    }),
  );
  t.end();
});

test('a throttling answer halves the rate, several in a second count as one, and it comes back within a minute', (t) => {
  const before = { factor: 1, at: 0 };
  const once = slowed(before, 1000);
  t.equal(factorAt(once, 1000), 0.5);
  t.same(slowed(once, 1500), once);
  t.ok(factorAt(once, 10_000) > 0.5 && factorAt(once, 10_000) < 1);
  t.equal(factorAt(once, 61_000), 1);
  fc.assert(
    fc.property(fc.array(fc.nat(5000)), (pauses) => {
      let slowdown = before;
      let now = 0;
      for (const pause of pauses) {
        now += pause;
        slowdown = slowed(slowdown, now);
        if (!(factorAt(slowdown, now) > 0.1 && factorAt(slowdown, now + 60_000) === 1)) return false;
      }
      return true;
    }),
  );
  t.end();
});
