/** How fast calls may follow each other: a bucket that fills evenly, and of which each call takes one token. */

/** `at`: milliseconds of a clock that never goes back. */
export type Bucket = { tokens: number; at: number };

/** Tokens a second, and how many the bucket holds. */
export type Rate = { perSecond: number; capacity: number };

/** How much less than its rate an operation is called: 1 is all of it. */
export type Slowdown = { factor: number; at: number };

/** Which part of a quota one process takes: `share` of it (0 to 1) among so many processes. */
export type Part = { share: number; processes: number };

/**
 * Seconds of its rate that a bucket holds. KMS's own bucket holds a second's worth: half of that leaves room for calls that
 * were spread out here and arrive there together.
 */
const burstSeconds = 0.5;
/** A bucket that holds no whole token would let nothing through; and a lone call should not have to wait. */
const leastCapacity = 1;

/** What a throttling answer leaves of the rate. */
const slowerBy = 0.5;
/** Milliseconds in which several throttling answers count as one: they tell of one overload, KMS's bucket being full in a second. */
const sameOverload = 1000;
/** Milliseconds in which the rate comes back from nothing to all: others' load lasts for a while, and each new try costs an answer. */
const recovery = 60_000;
/** The rate goes no lower: at KMS's lowest quotas a call in a few seconds. */
const leastFactor = 0.125;

/** The rate of one process. */
export function rateOf(quota: number, { share, processes }: Part, factor: number): Rate {
  const perSecond = (quota * share * factor) / Math.max(1, processes);
  return { perSecond, capacity: Math.max(leastCapacity, perSecond * burstSeconds) };
}

/** The bucket as it is by now. */
export function fill({ tokens, at }: Bucket, { perSecond, capacity }: Rate, now: number): Bucket {
  return { tokens: Math.min(capacity, tokens + (Math.max(0, now - at) / 1000) * perSecond), at: Math.max(at, now) };
}

/** Milliseconds until the bucket holds so many tokens, of which it has room for. Not above 0: it does. */
export function waitFor(wanted: number, { tokens }: Bucket, { perSecond }: Rate): number {
  return ((wanted - tokens) / perSecond) * 1000;
}

/** What is left of the rate by now. */
export function factorAt({ factor, at }: Slowdown, now: number): number {
  return Math.min(1, factor + Math.max(0, now - at) / recovery);
}

/** After a throttling answer. */
export function slowed(slowdown: Slowdown, now: number): Slowdown {
  const factor = factorAt(slowdown, now);
  if (slowdown.factor < 1 && now - slowdown.at < sameOverload) return slowdown;
  return { factor: Math.max(leastFactor, factor * slowerBy), at: now };
}
