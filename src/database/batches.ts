/** What is removed of a big table goes bit by bit, and lets others through. */
import { setTimeout as delay } from 'node:timers/promises';

/** In one run; the next one goes on. */
const mostBatches = 500;
/** Milliseconds between two batches. */
export const pause = 20;

/** @param remove removes some, and tells how many; 0: there are none left. */
export async function removeInBatches(isStopping: () => boolean, remove: () => Promise<number>): Promise<number> {
  let sum = 0;
  for (let batch = 0; batch < mostBatches && !isStopping(); batch += 1) {
    const count = await remove();
    if (count === 0) break;
    sum += count;
    await delay(pause);
  }
  return sum;
}
