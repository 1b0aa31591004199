/** `GET /v1/keys/{id}` against Fastify with one prepared query. */
import autocannon from 'autocannon';
import { median, reportLine } from './statistics.ts';

const connections = 32;

/** Both in turn, so that a change of the machine's speed meets both. @returns a line of the report. */
export async function measureReads(
  url: string,
  controlUrl: string,
  { rounds, seconds }: { rounds: number; seconds: number },
): Promise<string> {
  await rate(url, 1);
  await rate(controlUrl, 1);
  const pairs: [figure: number, control: number][] = [];
  for (let round = 0; round < rounds; round += 1)
    pairs.push([await rate(url, seconds), await rate(controlUrl, seconds)]);
  const perSecond = (figures: number[]) => `${Math.round(median(figures))} a second`;
  const ratio = median(pairs.map(([figure, control]) => figure / control));
  return reportLine([
    'reads of one key',
    perSecond(pairs.map(([figure]) => figure)),
    perSecond(pairs.map(([, control]) => control)),
    `ratio ${ratio.toFixed(2)}, median of ${rounds} pairs (wanted: 0.6 or more)`,
  ]);
}

/** Requests a second. @throws when an answer is not 200. */
async function rate(url: string, duration: number): Promise<number> {
  const { requests, non2xx, errors } = await autocannon({ url, connections, duration });
  if (non2xx + errors > 0) throw new Error(`${url}: ${non2xx} answers were not 200, ${errors} requests failed`);
  return requests.average;
}
