import {
  CreateAliasCommand,
  CreateCustomKeyStoreCommand,
  DescribeCustomKeyStoresCommand,
  ListAliasesCommand,
  ListKeyPoliciesCommand,
  ListKeyRotationsCommand,
  ListKeysCommand,
  ListResourceTagsCommand,
  RotateKeyOnDemandCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { refuses, startKms } from '../support/local-kms.ts';

type Page = { Truncated?: boolean | undefined; NextMarker?: string | undefined };
type Request = { Limit?: number; Marker?: string };

type List = {
  name: string;
  /** Source: AWS KMS API reference, the operation's Limit parameter. */
  standard: number;
  most: number;
  count: number;
  call: (request: Request) => Promise<Page & { items: unknown[] }>;
};

test('list operations page with Limit, Marker, Truncated and NextMarker; default and maximum differ by operation', async (t) => {
  const { kms, create } = await startKms(t);
  const { KeyId } = await create({
    Tags: Array.from({ length: 50 }, (_, index) => ({ TagKey: `t${index}`, TagValue: '' })),
  });
  await Promise.all(Array.from({ length: 110 }, () => create()));
  for (let index = 0; index < 10; index += 1) await kms.send(new RotateKeyOnDemandCommand({ KeyId }));
  const keys = await Promise.all([create(), create(), create()]);
  for (const [number, key] of keys.entries()) {
    for (let index = 0; index < 40; index += 1) {
      await kms.send(new CreateAliasCommand({ AliasName: `alias/${number}-${index}`, TargetKeyId: key.KeyId }));
    }
  }
  for (let index = 0; index < 5; index += 1) {
    await kms.send(
      new CreateCustomKeyStoreCommand({
        CustomKeyStoreName: `store ${index}`,
        CloudHsmClusterId: `cluster-1234567890${index}`,
        TrustAnchorCertificate: 'certificate',
        KeyStorePassword: 'password',
      }),
    );
  }
  const lists: List[] = [
    {
      name: 'ListKeys',
      standard: 100,
      most: 1000,
      count: 114,
      call: async (request) => {
        const { Keys: items = [], ...page } = await kms.send(new ListKeysCommand(request));
        return { items, ...page };
      },
    },
    {
      name: 'ListAliases',
      standard: 50,
      most: 100,
      count: 120,
      call: async (request) => {
        const { Aliases: items = [], ...page } = await kms.send(new ListAliasesCommand(request));
        return { items, ...page };
      },
    },
    {
      name: 'ListResourceTags',
      standard: 50,
      most: 50,
      count: 50,
      call: async (request) => {
        const { Tags: items = [], ...page } = await kms.send(new ListResourceTagsCommand({ KeyId, ...request }));
        return { items, ...page };
      },
    },
    {
      name: 'ListKeyRotations',
      standard: 100,
      most: 1000,
      count: 10,
      call: async (request) => {
        const { Rotations: items = [], ...page } = await kms.send(new ListKeyRotationsCommand({ KeyId, ...request }));
        return { items, ...page };
      },
    },
    {
      name: 'ListKeyPolicies',
      standard: 100,
      most: 1000,
      count: 1,
      call: async (request) => {
        const { PolicyNames: items = [], ...page } = await kms.send(new ListKeyPoliciesCommand({ KeyId, ...request }));
        return { items, ...page };
      },
    },
    {
      name: 'DescribeCustomKeyStores',
      standard: 100,
      most: 1000,
      count: 5,
      call: async (request) => {
        const { CustomKeyStores: items = [], ...page } = await kms.send(new DescribeCustomKeyStoresCommand(request));
        return { items, ...page };
      },
    },
  ];
  for (const { name, standard, most, count, call } of lists) {
    t.test(`${name}: ${standard} by default, ${most} at most`, async (t) => {
      const first = await call({});
      t.equal(first.items.length, Math.min(standard, count));
      t.equal(first.Truncated, count > standard);
      t.equal(first.NextMarker !== undefined, count > standard, 'a marker exactly when there is more');

      const seen: unknown[] = [];
      let marker: string | undefined;
      const Limit = Math.max(1, Math.floor(count / 3));
      do {
        const page = await call({ Limit, ...(marker === undefined ? {} : { Marker: marker }) });
        t.ok(page.items.length <= Limit);
        seen.push(...page.items);
        marker = page.NextMarker;
        t.equal(page.Truncated, marker !== undefined);
      } while (marker !== undefined);
      t.equal(new Set(seen.map((item) => JSON.stringify(item))).size, count, 'all, and none twice');

      const whole = await call({ Limit: most });
      t.equal(whole.items.length, Math.min(count, most));
      await refuses(t, call({ Limit: 0 }), 'ValidationException', /at 'limit' .*greater than or equal to 1$/);
      await refuses(
        t,
        call({ Limit: most + 1 }),
        'ValidationException',
        new RegExp(`at 'limit' .*less than or equal to ${most}$`),
      );
      await refuses(t, call({ Marker: 'bogus' }), 'InvalidMarkerException');
    });
  }

  t.test('ListAliases of one key', async (t) => {
    const { Aliases = [] } = await kms.send(new ListAliasesCommand({ KeyId: keys[1]?.KeyId, Limit: 100 }));
    t.equal(Aliases.length, 40);
    t.ok(Aliases.every(({ TargetKeyId }) => TargetKeyId === keys[1]?.KeyId));
  });
});
