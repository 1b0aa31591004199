/**
 * Memory that a burst has left goes back to the operating system. V8 keeps the pages that its garbage lay on, for the next burst:
 * after an attack a process held half as much again as before, for as long as it lived.
 */
import { Session } from 'node:inspector/promises';

type IdleMemoryOptions = {
  /** Milliseconds from one look to the next. */
  interval: number;
  /** Which part of a CPU a process that is idle takes at most. */
  idleShare: number;
  /** Looks that find it idle, one after the other, until a burst counts as over: what hung on its connections is garbage then. */
  idleLooks: number;
  /** How many times what was held before the burst is too much. */
  growth: number;
};

const usual: IdleMemoryOptions = { interval: 10_000, idleShare: 0.1, idleLooks: 3, growth: 1.15 };

/**
 * Looks from time to time whether a burst is over that has left much memory, and collects it then: a few tenths of a second, once,
 * in which there is little to do. Who is never idle is never held up.
 */
export function giveMemoryBack(options: Partial<IdleMemoryOptions> = {}): { stop(): void } {
  const { interval, idleShare, idleLooks, growth } = { ...usual, ...options };
  let before = process.memoryUsage.rss();
  let used = process.cpuUsage();
  let at = performance.now();
  let idleFor = idleLooks;
  const look = async () => {
    const { user, system } = process.cpuUsage(used);
    const share = (user + system) / 1000 / (performance.now() - at);
    [used, at] = [process.cpuUsage(), performance.now()];
    idleFor = share > idleShare ? 0 : idleFor + 1;
    if (idleFor < idleLooks) return;
    const isEndOfBurst = idleFor === idleLooks;
    if (isEndOfBurst && process.memoryUsage.rss() > before * growth) await collect();
    before = process.memoryUsage.rss();
  };
  const timer = setInterval(() => void look(), interval).unref();
  return { stop: () => clearInterval(timer) };
}

/** All there is to collect, and the pages with it: what `gc` of Node's --expose-gc frees stays with the process. */
async function collect(): Promise<void> {
  const session = new Session();
  session.connect();
  try {
    await session.post('HeapProfiler.collectGarbage');
  } finally {
    session.disconnect();
  }
}
