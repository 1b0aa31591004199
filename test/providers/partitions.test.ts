import { GetKeyPolicyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Provider } from '../../src/schemas/provider.ts';
import { addProvider } from '../support/providers.ts';
import { type Answer, kmsClient, startService } from '../support/service.ts';

test('Regions of every partition are served, and their ARNs are of it', async (t) => {
  const { call, kmsUrl } = await startService(t, { AWS_REGION: 'eusc-de-east-1' });
  const regions = { default: 'eusc-de-east-1', china: 'cn-north-1', gov: 'us-gov-west-1' };
  const partitions = { default: 'aws-eusc', china: 'aws-cn', gov: 'aws-us-gov' };
  for (const [provider, region] of Object.entries(regions)) {
    if (provider !== 'default') await addProvider(call, { name: provider, region });
    const { body }: Answer<Provider> = await call('GET', `/v1/providers/${provider}`);
    t.equal(body.region, region);
    const partition = partitions[provider as keyof typeof partitions];
    const root = `arn:${partition}:iam::111122223333:root`;
    const statement = { Effect: 'Allow', Action: 'kms:*', Resource: '*' };
    const policy = { Statement: { ...statement, Principal: { AWS: '111122223333' } } };
    const { status, body: key } = await call('POST', '/v1/keys', { provider });
    t.equal(status, 201);
    t.match(key.arn, new RegExp(`^arn:${partition}:kms:${region}:111122223333:key/`));
    t.match(key.policy, { Statement: [{ Principal: { AWS: root } }] });
    const kms = kmsClient(kmsUrl, '111122223333', region);
    t.teardown(() => kms.destroy());
    const read = await kms.send(new GetKeyPolicyCommand({ KeyId: key.arn ?? '' }));
    t.match(read.Policy, root);
    const elsewhere = key.arn?.replace(`arn:${partition}:`, 'arn:aws:');
    await t.rejects(kms.send(new GetKeyPolicyCommand({ KeyId: elsewhere })), { name: 'NotFoundException' });
    t.equal((await call('PATCH', `/v1/keys/${key.id}`, { policy })).status, 200);
    const asRoot = { policy: { Statement: { ...statement, Principal: { AWS: root } } } };
    const { body: planned } = await call<{ steps: object[] }>('POST', `/v1/keys/${key.id}/plan`, asRoot);
    t.same(planned.steps, [], 'the id and the root of the partition are one principal');
  }
});
