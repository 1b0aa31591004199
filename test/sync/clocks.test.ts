import { test } from 'tap';
import { caller, eventually, startService } from '../support/service.ts';

const promptly = { prefer: 'respond-async' };

test('no key is made while the clocks of PostgreSQL and KMS differ by more than a minute', async (t) => {
  const environment = { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '0' };
  const { call, control, kmsUrl } = await startService(t, environment);
  const setClock = (seconds: number) => caller(kmsUrl)('PUT', '/_local/settings', { clock_offset_seconds: seconds });
  /** How many keys KMS has made since it was last asked to forget. */
  const creations = async () =>
    (await control.calls()).filter(({ operation, error }) => operation === 'CreateKey' && error === null).length;
  const get = async (id: string) => (await call('GET', `/v1/keys/${id}`)).body;
  const until = (id: string, code: string) =>
    eventually(`the key says ${code}`, async () => {
      const { status } = await get(id);
      return status.error?.code === code && status;
    });
  const inSync = (id: string) =>
    eventually('the key is in sync', async () => {
      const key = await get(id);
      return key.status.state === 'in_sync' && key;
    });

  t.test('a CreateKey without an answer is not given up by a clock that jumped', async (t) => {
    await control.fault({ operation: 'CreateKey', kind: 'no_answer_before_effect' });
    const { body } = await call('POST', '/v1/keys', {}, promptly);
    await until(body.id, 'CreateKeyOutcomeUnknown');
    await setClock(-660);
    await until(body.id, 'ClocksDiffer');
    t.equal(await creations(), 0);
    await setClock(0);
    await inSync(body.id);
    t.equal(await creations(), 1);
    await control.clear();
  });

  for (const [offset, words] of [
    [-660, /PostgreSQL's clock is \d+ seconds ahead of KMS's/],
    [660, /PostgreSQL's clock is \d+ seconds behind KMS's/],
  ] as const) {
    t.test(`a first CreateKey waits, with KMS off by ${offset} seconds`, async (t) => {
      await setClock(offset);
      const { body } = await call('POST', '/v1/keys', {}, promptly);
      t.match(await until(body.id, 'ClocksDiffer'), { state: 'creating', error: { message: words, retryable: true } });
      t.equal(await creations(), 0);
      await setClock(0);
      await inSync(body.id);
      t.equal(await creations(), 1);
      await control.clear();
    });
  }

  t.test('two seconds, as clocks differ, are no matter', async (t) => {
    await setClock(-2);
    t.equal((await call('POST', '/v1/keys', {})).status, 201);
  });
});
