/**
 * `npm run bench:local-kms`: DescribeKey and a page of ListKeys with 100,000 keys, an account's quota, against the same with
 * 100. Both local KMS run at once and are asked in turn. Option: --keys N.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { DescribeKeyCommand, type KMSClient, ListKeysCommand } from '@aws-sdk/client-kms';
import { startLocalKms } from '../src/local/kms/index.ts';
import { Store } from '../src/local/kms/store.ts';
import { temporaryFolder } from '../test/support/process.ts';
import { kmsClient } from '../test/support/service.ts';
import { seedKeys } from './seed.ts';
import { median, reportLine } from './statistics.ts';

const { values } = parseArgs({ options: { keys: { type: 'string', default: '100000' } } });
const many = Number(values.keys);
const few = 100;
const rounds = 400;
const pageSize = 100;

const releases: (() => unknown)[] = [];
const owner = { teardown: (release: () => unknown) => releases.push(release) };

/** A local KMS with so many keys. */
async function startWith(count: number): Promise<{ kms: KMSClient; keyIds: string[] }> {
  const dataDir = path.join(await temporaryFolder(owner), 'kms');
  const store = new Store(dataDir);
  const keyIds = seedKeys(store, count);
  store.close();
  const server = await startLocalKms({ dataDir });
  const kms = kmsClient(server.url);
  owner.teardown(async () => {
    kms.destroy();
    await server.close();
  });
  return { kms, keyIds };
}

type Measured = { figure: number[]; control: number[] };

async function inTurn(figure: (round: number) => Promise<unknown>, control: (round: number) => Promise<unknown>) {
  const measured: Measured = { figure: [], control: [] };
  for (let round = 0; round < rounds; round += 1) {
    measured.figure.push(await timed(() => figure(round)));
    measured.control.push(await timed(() => control(round)));
  }
  return measured;
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

function report(name: string, { figure, control }: Measured): void {
  const text = (samples: number[]) => `${median(samples).toFixed(2)} ms`;
  const ratio = (median(figure) / median(control)).toFixed(2);
  process.stdout.write(reportLine([name, text(figure), text(control), `ratio ${ratio}`]));
}

/** Describes keys all over the range. */
function describing({ kms, keyIds }: { kms: KMSClient; keyIds: string[] }) {
  return (round: number) => kms.send(new DescribeKeyCommand({ KeyId: keyIds[(round * 7919) % keyIds.length] }));
}

/** Reads one page after the other, from the start again after the last. */
function listing({ kms }: { kms: KMSClient }, Limit: number) {
  let marker: string | undefined;
  return async () => {
    const page = await kms.send(new ListKeysCommand({ Limit, ...(marker === undefined ? {} : { Marker: marker }) }));
    marker = page.NextMarker;
  };
}

try {
  const [large, small] = [await startWith(many), await startWith(few)];
  process.stdout.write(reportLine(['', `${many} keys`, `${few} keys`, '']));
  await inTurn(describing(large), describing(small));
  report('DescribeKey', await inTurn(describing(large), describing(small)));
  report(`ListKeys, pages of ${pageSize}`, await inTurn(listing(large, pageSize), listing(small, pageSize)));
} finally {
  for (const release of releases.reverse()) await release();
}
