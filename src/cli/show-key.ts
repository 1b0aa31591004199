/** A key as a person reads it. */
import { type Io, paint, visible, visibleLines } from './io.ts';
import type { Key } from './keys.ts';
import { printFields, say } from './print.ts';
import { inWords, tagsInWords, time } from './text.ts';

const styleOfState: Record<string, 'green' | 'yellow' | 'red'> = {
  in_sync: 'green',
  failed: 'red',
  drifted: 'yellow',
  pending_deletion: 'yellow',
};

/** Told in words of their own, or not worth a line. */
const elsewhere = ['id', 'status', 'allowed_actions', 'etag', 'policy', 'created_at', 'updated_at'];

function fieldOf(name: string, value: unknown): [string, string] {
  const isTags = name === 'tags' || name === 'tags_all';
  return [name, isTags ? tagsInWords(value as Record<string, string>) || '—' : inWords(value)];
}

/** Prints all of a key. */
export function printKey(io: Io, key: Key): void {
  const { status } = key;
  const declared = Object.entries(key).filter(([name]) => !elsewhere.includes(name));
  printFields(io, [
    ['id', key.id],
    ...declared.map(([name, value]) => fieldOf(name, value)),
    ['state', `${status.state}${status.held ? ' (held)' : ''}, generation ${status.generation}`],
    ['in KMS', `${status.key_state ?? '—'}, seen ${time(status.last_observed_at)}`],
    ...(status.deletion_date === null ? [] : ([['deletion', time(status.deletion_date)]] as [string, string][])),
    ['created', time(key.created_at)],
    ['updated', time(key.updated_at)],
  ]);
  const policy = JSON.stringify(key.policy, null, 2);
  io.stdout.write(`${paint(io.stdout, 'bold', 'policy')}\n${visibleLines(policy)}\n`);
  printTroubles(io, key);
}

function printTroubles(io: Io, { status: { drift, error } }: Key): void {
  for (const { field, desired, observed, since } of drift) {
    const words = `drift in ${field}: ${inWords(desired)} is declared, KMS has ${inWords(observed)}, since ${time(since)}`;
    io.stdout.write(`${paint(io.stdout, 'yellow', visible(words))}\n`);
  }
  if (error === null) return;
  const next = error.next_attempt_at === null ? '' : ` It is tried again at ${time(error.next_attempt_at)}.`;
  const words = `${error.operation ?? 'KMS'}: ${error.code}: ${error.message}${next}`;
  io.stdout.write(`${paint(io.stdout, 'red', visible(words))}\n`);
}

/** Says in a line what became of a key. */
export function sayKey(io: Io, done: string, key: Key): void {
  const state = paint(io.stderr, styleOfState[key.status.state] ?? 'yellow', key.status.state);
  const name = key.description === '' ? '' : ` ${JSON.stringify(key.description)}`;
  say(io, `${done} ${key.id}${visible(name)}: ${state}${key.arn === null ? '' : `\n${visible(key.arn)}`}`);
}
