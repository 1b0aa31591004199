/** Create to in sync, against CreateKey by the bare SDK and one INSERT. */
import { randomUUID } from 'node:crypto';
import { CreateKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import { Client } from 'pg';
import type { Service } from '../test/support/process.ts';
import { kmsClient } from '../test/support/service.ts';
import { median, quantile, reportLine } from './statistics.ts';

const warmUp = 30;

export type CreateBenchmark = { connectionString: string; kmsUrl: string; service: Service; count: number };

/** One after the other, Keyward and its control in turn. @returns a line of the report. */
export async function measureCreates({ connectionString, kmsUrl, service, count }: CreateBenchmark): Promise<string> {
  const database = new Client({ connectionString });
  await database.connect();
  const kms = kmsClient(kmsUrl);
  try {
    await database.query('CREATE TABLE bench_keys (id uuid PRIMARY KEY, arn text NOT NULL, description text NOT NULL)');
    const pairs: [figure: number, control: number][] = [];
    for (let index = 0; index < warmUp + count; index += 1) {
      const figure = await timed(() => createThroughKeyward(service, index));
      const control = await timed(() => createBarely(kms, database, index));
      if (index >= warmUp) pairs.push([figure, control]);
    }
    await database.query('DROP TABLE bench_keys');
    return report(pairs);
  } finally {
    kms.destroy();
    await database.end();
  }
}

function report(pairs: [figure: number, control: number][]): string {
  const figures = pairs.map(([figure]) => figure);
  const controls = pairs.map(([, control]) => control);
  const over = median(figures) - median(controls);
  const text = (samples: number[]) => `${median(samples).toFixed(1)} ms (p95 ${quantile(samples, 0.95).toFixed(1)})`;
  const ratio = median(pairs.map(([figure, control]) => figure / control));
  const verdict = `${over.toFixed(1)} ms over its control (wanted: at most 15), ratio ${ratio.toFixed(2)}`;
  return reportLine(['create to in sync', text(figures), text(controls), verdict]);
}

async function createThroughKeyward({ call }: Service, index: number): Promise<void> {
  const { status, body } = await call('POST', '/v1/keys', { description: `bench ${index}` });
  if (status !== 201) throw new Error(`Create answered ${status}: ${JSON.stringify(body)}`);
}

async function createBarely(kms: KMSClient, database: Client, index: number): Promise<void> {
  const id = randomUUID();
  const Description = `bench ${index}`;
  const { KeyMetadata } = await kms.send(
    new CreateKeyCommand({ Description, Tags: [{ TagKey: 'owner', TagValue: id }] }),
  );
  const values = [id, KeyMetadata?.Arn, Description];
  await database.query({ name: 'insert', text: 'INSERT INTO bench_keys VALUES ($1, $2, $3)', values });
}

/** Milliseconds that it takes. */
async function timed(act: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}
