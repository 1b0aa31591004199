/** Measures time that must not be underestimated. */

/**
 * Starts to measure.
 * @returns a function that tells the milliseconds since, by whichever clock went further: the monotonic one stands still
 * while a machine is suspended, and the other may be set back.
 */
export function startStopwatch(): () => number {
  const monotonic = performance.now();
  const wall = Date.now();
  return () => Math.max(performance.now() - monotonic, Date.now() - wall);
}
