/** Tells whether anybody has tampered with the events: `npm run audit -- verify`; and what to keep elsewhere: `head`. */
import { parseArgs } from 'node:util';
import { withDatabase } from './host.ts';
import { findHead, type Head, verifyChain } from './services/history/chain.ts';

const usage = `usage: npm run -s audit -- verify [--head DAY=HASH]…
       npm run -s audit -- head`;

type Stored = Parameters<typeof verifyChain>[0];

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    options: { head: { type: 'string', multiple: true, default: [] } },
    allowPositionals: true,
  });
  const [command] = positionals;
  const isKnown = command === 'verify' || (command === 'head' && values.head.length === 0);
  if (!isKnown || positionals.length > 1) throw new Error(usage);
  const kept = values.head.map(headIn);
  await withDatabase((stored) => (command === 'verify' ? verify(stored, kept) : showHead(stored)));
}

function headIn(text: string): Head {
  const [, day, hash] = /^(\d{4}-\d\d-\d\d)=([0-9a-f]{64})$/.exec(text) ?? [];
  if (day === undefined || hash === undefined) throw new Error(`--head ${text}: what \`head\` prints is right`);
  return { day, hash };
}

async function showHead(stored: Stored): Promise<void> {
  const head = await findHead(stored);
  if (head === null) throw new Error('no event is a minute old yet: there is no link');
  process.stdout.write(`${head.day}=${head.hash}\n`);
}

async function verify(stored: Stored, kept: Head[]): Promise<void> {
  const { days, fault, unlinked, gone, missed } = await verifyChain(stored, kept);
  for (const { day, events, head } of days) process.stdout.write(`${day} ${events} events, head ${head}\n`);
  if (gone > 0) process.stdout.write(`${gone} older events are gone, by retention if nobody else removed them\n`);
  if (fault !== null) process.stdout.write(`BROKEN: event ${fault.seq} was ${fault.what}.\n`);
  for (const { day } of missed)
    process.stdout.write(
      `BROKEN: the head of ${day} is none of this chain: events were changed, and all links anew.\n`,
    );
  if (fault === null && missed.length === 0)
    return void process.stdout.write(`The chain holds. ${unlinked} newer events are not in it yet.\n`);
  process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 2;
}
