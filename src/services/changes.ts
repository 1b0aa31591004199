/** Lets a request wait for the sync of its key. */
import type { Notifications } from '../database/notifications.ts';

/** Milliseconds between looks while waiting: a notification may be lost, and then costs this long. */
const lookInterval = 1000;

export type ChangeFeed = {
  /**
   * Looks until `look` finds something, at each change of the key.
   * @param waitMilliseconds how long to go on; 0 looks once.
   * @returns what was found, or undefined when the time is up.
   */
  waitFor<Found>(
    keyId: string,
    waitMilliseconds: number,
    look: () => Promise<Found | undefined>,
  ): Promise<Found | undefined>;
  /** Ends all waits at once, as if their time were up. */
  close(): void;
};

/** A feed of the changes that the processes tell each other. */
export function openChangeFeed(notifications: Notifications): ChangeFeed {
  const waiting = new Map<string, Set<() => void>>();
  let closed = false;
  const wakeAll = () => {
    for (const wakes of waiting.values()) for (const wake of wakes) wake();
  };
  notifications.onKeyChange((keyId) => {
    if (keyId === null) return wakeAll();
    for (const wake of waiting.get(keyId) ?? []) wake();
  });
  return {
    waitFor: async (keyId, waitMilliseconds, look) => {
      const deadline = Date.now() + waitMilliseconds;
      const signal = changeSignal();
      const wakes = waiting.get(keyId) ?? new Set();
      waiting.set(keyId, wakes.add(signal.raise));
      try {
        for (;;) {
          const found = await look();
          const left = deadline - Date.now();
          if (found !== undefined || left <= 0 || closed) return found;
          await signal.next(Math.min(left, lookInterval));
        }
      } finally {
        wakes.delete(signal.raise);
        if (wakes.size === 0) waiting.delete(keyId);
      }
    },
    close: () => {
      closed = true;
      wakeAll();
    },
  };
}

/** Raised by a change; remembers one that comes while nobody waits, so that none is missed between two looks. */
function changeSignal() {
  let raised = false;
  let release = () => {};
  return {
    raise: () => {
      raised = true;
      release();
    },
    next: async (milliseconds: number) => {
      if (!raised) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, milliseconds);
          release = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      raised = false;
    },
  };
}
