/** `GET /v1/keys/{id}` against Fastify with one prepared query. */
import autocannon from 'autocannon';
import { median, reportLine } from './statistics.ts';

const connections = 32;

/** What is read, and with which credentials. */
export type Read = { url: string; token?: string };

/** Both in turn, so that a change of the machine's speed meets both. @returns a line of the report. */
export async function measureReads(
  { name, wanted }: { name: string; wanted: number },
  read: Read,
  control: Read,
  { rounds, seconds }: { rounds: number; seconds: number },
): Promise<string> {
  await rate(read, 1);
  await rate(control, 1);
  const pairs: [figure: number, control: number][] = [];
  for (let round = 0; round < rounds; round += 1) {
    // Which of them is first changes: what the one leaves behind, as what is to be collected, meets the other as often.
    const isFirst = round % 2 === 0;
    const [first, second] = isFirst ? [read, control] : [control, read];
    const [one, other] = [await rate(first, seconds), await rate(second, seconds)];
    pairs.push(isFirst ? [one, other] : [other, one]);
  }
  const perSecond = (figures: number[]) => `${Math.round(median(figures))} a second`;
  const ratio = median(pairs.map(([figure, control]) => figure / control));
  return reportLine([
    name,
    perSecond(pairs.map(([figure]) => figure)),
    perSecond(pairs.map(([, control]) => control)),
    `ratio ${ratio.toFixed(2)}, median of ${rounds} pairs (wanted: ${wanted} or more)`,
  ]);
}

/** Requests a second. @throws when an answer is not 200. */
async function rate({ url, token }: Read, duration: number): Promise<number> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const { requests, non2xx, errors } = await autocannon({ url, headers, connections, duration });
  if (non2xx + errors > 0) throw new Error(`${url}: ${non2xx} answers were not 200, ${errors} requests failed`);
  return requests.average;
}
