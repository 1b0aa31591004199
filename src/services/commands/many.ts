/** One command for many keys: what each of them asks for is a command of its own, with a part of the time and of the name. */
import { v5 as uuidv5 } from 'uuid';
import type { Command } from './declare.ts';

/** Of one request. Some of the connections to the database, and some of the ways to KMS, are left to others. */
const atOnce = 8;

/**
 * Does all of it, some at once, in their order.
 * @param work must not throw: what becomes of one is no reason to leave out the others.
 * @returns what became of each, in their order.
 */
export async function eachOf<Item, Done>(items: readonly Item[], work: (item: Item) => Promise<Done>): Promise<Done[]> {
  const done: Done[] = [];
  const left = items.entries();
  const go = async () => {
    for (const [index, item] of left) done[index] = await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, go));
  return done;
}

/**
 * The command for one of many. All share the time to wait: what comes to its turn later is recorded and not waited for.
 * @param part the same for that one in every run.
 */
export function partsOf(command: Command): (part: string) => Command {
  const until = Date.now() + command.wait;
  return (part) => ({
    ...command,
    wait: Math.max(0, until - Date.now()),
    ifMatch: undefined,
    commandId: command.commandId === undefined ? undefined : uuidv5(part, command.commandId),
  });
}
