/** Keys as commands find them, wait for them and show them. */
import { setTimeout } from 'node:timers/promises';
import { Failure } from './errors.ts';
import { visible } from './io.ts';
import { answerOf, dataOf, type Schemas, type Session } from './session.ts';

export type Key = Schemas['Key'];

/** Reads a key by its id, its id in KMS, its ARN, or an alias. @returns it with the ETag of what was read. */
export async function findKey(session: Session, key: string): Promise<{ key: Key; etag: string }> {
  const call = session.api.GET('/v1/keys/lookup', { params: { query: { key } } });
  const { data, response } = await answerOf(session, call);
  return { key: data, etag: response.headers.get('etag') ?? '' };
}

/** What a person calls a key: its description, else its id. */
export const nameOf = ({ id, description }: Pick<Key, 'id' | 'description'>): string =>
  description === '' ? id : `${id} ${JSON.stringify(description)}`;

/** Milliseconds between two looks at a key: at first, and at most. */
const pauses = { first: 500, longest: 5000 };

/** Milliseconds after which a run no longer waits for KMS. */
const patience = 15 * 60_000;

const isUnderWay = ({ status }: Key) => ['creating', 'updating'].includes(status.state) && !status.held;

/** Why what was asked for is not what KMS holds. */
function failureOf(key: Key): Failure | undefined {
  const { state, error, held } = key.status;
  if (held) {
    const hint = 'Nothing is written to KMS until somebody resumes it: see docs/recovery.md.';
    return new Failure(`Key ${key.id} is held.`, { hint });
  }
  if (state !== 'failed' || error === null) return undefined;
  const hint = error.retryable ? `Keyward tries again by itself; keyward keys get ${key.id} tells.` : undefined;
  return new Failure(
    `${error.operation ?? 'KMS'}: ${error.code}: ${error.message}`,
    hint === undefined ? {} : { hint },
  );
}

/** Whether KMS refused a generation after the service had answered: then it was taken back. */
async function refusedLater(session: Session, id: string, generation: number): Promise<Failure | undefined> {
  const call = session.api.GET('/v1/keys/{id}/revisions', { params: { path: { id }, query: { limit: 20 } } });
  const { items } = await dataOf(session, call);
  const ours = items.find((revision) => revision.generation === generation);
  if (ours?.outcome !== 'refused') return undefined;
  const { operation = null, code = 'refused', message = 'KMS refused it.' } = ours.error ?? {};
  const hint = 'The change was taken back whole.';
  return new Failure(`${operation ?? 'KMS'}: ${code}: ${message}`, { hint });
}

/**
 * Waits until KMS holds what was asked for.
 * @throws Failure where it never will as things are.
 */
export async function settled(session: Session, asked: Key): Promise<Key> {
  const { id } = asked;
  const { generation } = asked.status;
  let key = asked;
  session.underWay = `Keyward goes on with key ${id}: keyward keys get ${id} tells how far it is.`;
  const watch = async () => {
    const until = Date.now() + patience;
    for (let pause = pauses.first; isUnderWay(key); pause = Math.min(pauses.longest, pause * 1.5)) {
      if (Date.now() > until) throw new Failure(`KMS does not hold it yet. ${session.underWay}`);
      await setTimeout(pause, undefined, { signal: session.io.interrupted });
      key = await dataOf(session, session.api.GET('/v1/keys/{id}', { params: { path: { id } } }));
    }
  };
  await session.activity.during(`Waiting until KMS holds key ${visible(id)}`, watch());
  session.underWay = undefined;
  const failure = failureOf(key);
  if (failure !== undefined) throw failure;
  const refused = key.status.generation > generation ? await refusedLater(session, id, generation) : undefined;
  if (refused !== undefined) throw refused;
  return key;
}
