/** Tells whether anybody has tampered with the events: `npm run audit -- verify`. */
import { withDatabase } from './host.ts';
import { verifyChain } from './services/history/chain.ts';

async function main(): Promise<void> {
  if (process.argv[2] !== 'verify' || process.argv.length > 3) throw new Error('usage: npm run audit -- verify');
  await withDatabase(async (stored) => {
    const { days, fault, unlinked, gone } = await verifyChain(stored);
    for (const { day, events, head } of days) process.stdout.write(`${day} ${events} events, head ${head}\n`);
    if (gone > 0) process.stdout.write(`${gone} older events are gone, by retention if nobody else removed them\n`);
    if (fault === null)
      return void process.stdout.write(`The chain holds. ${unlinked} newer events are not in it yet.\n`);
    process.stdout.write(`BROKEN: event ${fault.seq} was ${fault.what}.\n`);
    process.exitCode = 1;
  });
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 2;
}
