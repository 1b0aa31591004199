/** What time it is by KMS: each answer has a Date header. Keys, signatures and deletions go by that clock. */
import type { KMSClient } from '@aws-sdk/client-kms';
import { quotaPosition } from './quotas.ts';

/** Milliseconds for which a time that was told is counted on. */
const countedOn = 300_000;

export class KmsClock {
  #told: { time: number; at: number } | null = null;

  /** Milliseconds since the epoch; null: no answer has told it lately. */
  now(): number | null {
    if (this.#told === null) return null;
    const since = performance.now() - this.#told.at;
    return since > countedOn ? null : this.#told.time + since;
  }

  /** Learns the time from every answer that a client gets, errors among them. */
  listenTo(client: KMSClient): void {
    const note =
      <Args, Answer extends { response: unknown }>(next: (args: Args) => Promise<Answer>) =>
      async (args: Args): Promise<Answer> => {
        try {
          const answer = await next(args);
          this.#note(answer.response);
          return answer;
        } catch (error) {
          this.#note((error as { $response?: unknown }).$response);
          throw error;
        }
      };
    client.middlewareStack.addRelativeTo(note, { ...quotaPosition, name: 'keywardClock' });
  }

  #note(response: unknown): void {
    const { headers } = (response ?? {}) as { headers?: Record<string, string> };
    const time = Date.parse(headers?.['date'] ?? '');
    if (!Number.isNaN(time)) this.#told = { time, at: performance.now() };
  }
}
