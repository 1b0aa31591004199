/** Requests to the service, whose answers may be lost, and what they promise. */
import type { Ledger } from './ledger.ts';

/** Milliseconds after which an answer is no longer waited for. */
const patience = 6000;

type Body = { id?: string; arn?: string | null; status?: { generation?: number } };

/** Takes note of what was promised. */
export function accept(
  { ledger }: { ledger: Ledger },
  answer: Answer,
  origin: string,
  description: string | null,
): void {
  const { id, status } = answer?.body ?? {};
  if (answer === null || answer.status >= 300 || id === undefined || status?.generation === undefined) return;
  // The answer shows the key as it is by then: a refused update, or a newer one, may have followed.
  const shown = (answer.body as { description?: string }).description;
  const isShown = description === null || shown === description;
  ledger.accepted.push({
    id,
    generation: status.generation,
    origin,
    description: isShown ? description : null,
    asked: answer.asked,
  });
}

export type Answer<Told = Body> = { status: number; body: Told; asked: Date } | null;

/** @returns null when the answer was lost: then nobody knows. */
export async function send<Told = Body>(
  url: string,
  method: string,
  path: string,
  body?: object | string,
): Promise<Answer<Told>> {
  const asked = new Date();
  try {
    const response = await fetch(new URL(path, url), {
      method,
      headers: { prefer: 'wait=2', ...(body === undefined ? {} : { 'content-type': typeOf(body) }) },
      signal: AbortSignal.timeout(patience),
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Told, asked };
  } catch {
    return null;
  }
}

/** Lines are sent as they are. */
function typeOf(body: object | string): string {
  return typeof body === 'string' ? 'application/x-ndjson' : 'application/json';
}
