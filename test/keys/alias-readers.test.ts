import { setTimeout as delay } from 'node:timers/promises';
import { DescribeKeyCommand, GetPublicKeyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { eventually, kmsClient, startService } from '../support/service.ts';

const readers = 100;
const rsa = { key_usage: 'SIGN_VERIFY', customer_master_key_spec: 'RSA_2048' };

test('100 readers by an alias meet the old key or the new one through a replacement, and never none', async (t) => {
  const { call, kmsUrl } = await startService(t, { SETTLE_SECONDS: '0' });
  const client = kmsClient(kmsUrl);
  t.teardown(() => client.destroy());
  // Half of them ask which key it is; the others use it, which a key that is disabled or pending deletion refuses.
  const ways = [
    {
      name: 'alias/app',
      body: {},
      replacement: { multi_region: true },
      ask: async (KeyId: string) => (await client.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.Arn,
    },
    {
      name: 'alias/app/sign',
      body: rsa,
      replacement: { customer_master_key_spec: 'RSA_3072' },
      ask: async (KeyId: string) => (await client.send(new GetPublicKeyCommand({ KeyId }))).KeyId,
    },
  ];
  const failures: unknown[] = [];
  await Promise.all(
    ways.map(async ({ name, body, replacement, ask }) => {
      const { body: key } = await call('POST', '/v1/keys', { ...body, aliases: [name] });
      let isOver = false;
      /** Which keys one of them has met, in the order in which it did. */
      const read = async (): Promise<string[]> => {
        const met: string[] = [];
        for (;;) {
          const isLast = isOver;
          const arn = (await ask(name).catch((error) => void failures.push(error))) ?? '';
          if (met.at(-1) !== arn) met.push(arn);
          if (isLast) return met;
          await delay(1);
        }
      };
      const reading = Array.from({ length: readers / ways.length }, read);
      // Others use up what KMS lets through meanwhile.
      const load = Array.from({ length: 3 }, () => call('POST', '/v1/keys', { enable_key_rotation: true }));
      const at = `/v1/keys/${key.id}/replace`;
      const { status } = await call('POST', at, replacement, { prefer: 'respond-async' });
      t.equal(status, 202);
      const replaced = await eventually('it is replaced', async () => {
        const { body: shown } = await call('GET', `/v1/keys/${key.id}`);
        return shown.status.state === 'in_sync' && shown.arn !== key.arn && shown;
      });
      await Promise.all(load);
      isOver = true;
      for (const met of await Promise.all(reading)) t.same(met, [key.arn, replaced.arn]);
    }),
  );
  t.same(failures, [], 'no read fails to resolve');
});
