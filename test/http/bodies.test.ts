import { deepEqual, equal, match, ok } from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'tap';
import type { Json } from '../../src/domain/values.ts';
import type { Key } from '../../src/schemas/key.ts';
import type { KeySummary } from '../../src/schemas/key-list.ts';
import { anyBody, type DrawnBody, outcomeOf, type State, sent } from '../support/body-model.ts';
import { type Answer, type Problem, startService } from '../support/service.ts';

/** Every fault that the answer tells, as the model writes it. */
function told({ body }: Answer<Problem>): string[] {
  return (body.errors ?? []).map(({ pointer, code }) => `${pointer} ${code}`).sort();
}

/** A policy that nobody declared is the one that KMS gave the key. */
function shows(key: Key, state: State): void {
  const shown = key as unknown as Record<string, Json>;
  for (const [name, value] of Object.entries(state)) {
    if (name !== 'policy' || value !== null) deepEqual(shown[name], value, name);
  }
  deepEqual(key.tags_all, state['tags']);
  equal(key.status.state, 'in_sync');
}

test('whatever body is sent: status, faults and the key that results are those of the contract', async (t) => {
  const { call } = await startService(t);
  let made = 0;

  /** Sends the body, and holds the answer against the model. @returns the key and its state when it was taken. */
  async function send(body: DrawnBody, before: { id: string; state: State } | null) {
    const [method, path] = before === null ? ['POST', '/v1/keys'] : ['PATCH', `/v1/keys/${before.id}`];
    const outcome = outcomeOf(body, before?.state ?? null);
    const answer = await call<Key & Problem>(method, path, sent(body));
    if ('refusedAt' in outcome) {
      match(answer.body.type, /refused-by-kms$/);
      const [fault, ...others] = answer.body.errors ?? [];
      deepEqual({ code: fault?.code, others }, { code: 'refused_by_kms', others: [] });
      ok(outcome.refusedAt.includes(fault?.pointer ?? ''), JSON.stringify(answer.body));
    }
    if ('faults' in outcome) {
      deepEqual({ status: answer.status, faults: told(answer) }, { status: 422, faults: outcome.faults });
    }
    if (!('state' in outcome)) {
      if (before !== null) shows((await call('GET', path)).body, before.state);
      return before;
    }
    equal(answer.status, before === null ? 201 : 200, JSON.stringify(answer.body));
    shows(answer.body, outcome.state);
    if (before === null) made += 1;
    return { id: answer.body.id, state: outcome.state };
  }

  t.test('a POST', async (t) => {
    await fc.assert(
      fc.asyncProperty(anyBody, (body) => send(body, null).then(() => {})),
      { numRuns: 80 },
    );
    t.ok(made > 10, 'some are right');
  });

  t.test('PATCH after PATCH', async () => {
    const { body: plain } = await call('POST', '/v1/keys', {});
    await fc.assert(
      fc.asyncProperty(anyBody, fc.array(anyBody, { minLength: 1, maxLength: 4 }), async (first, patches) => {
        let key = await send(first, null);
        // Where the first was wrong, there is no key yet.
        key ??= await send({}, null);
        for (const patch of patches) key = await send(patch, key);
      }),
      { numRuns: 20 },
    );
    equal((await call('GET', `/v1/keys/${plain.id}`)).body.status.generation, 1, 'nothing befalls another key');
  });

  t.test('what was wrong has left nothing', async (t) => {
    const { body } = await call<KeySummary>('GET', '/v1/keys/summary');
    t.match(body, { total: made + 1, by_state: { in_sync: made + 1 } });
  });
});
