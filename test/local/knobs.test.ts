import {
  CreateKeyCommand,
  DescribeKeyCommand,
  ListKeysCommand,
  ListResourceTagsCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { test } from 'tap';
import { standardQuotas } from '../../src/domain/request-quotas.ts';
import { account, describe, refuses, startKms } from '../support/local-kms.ts';
import { caller } from '../support/service.ts';

test('quotas are off unless asked for', async (t) => {
  const { create } = await startKms(t);
  await t.resolves(Promise.all(Array.from({ length: 30 }, () => create())));
});

test('with quotas on, an operation over its quota is a ThrottlingException, HTTP 400, and has no effect', async (t) => {
  const { kms, client, create } = await startKms(t, { quotas: true });
  const answers = await Promise.allSettled(Array.from({ length: 40 }, () => create()));
  const made = answers.filter(({ status }) => status === 'fulfilled').length;
  const { Keys = [] } = await kms.send(new ListKeysCommand({}));
  t.equal(Keys.length, made);
  // Five at once, and one each fifth of a second that the machine took for all.
  t.ok(made >= 5 && made < 40, `${made} of 40`);
  const refused = answers.find((answer) => answer.status === 'rejected');
  t.match(refused?.reason, { name: 'ThrottlingException', $metadata: { httpStatusCode: 400 } });
  t.test('each account and Region, and each operation, has its own', async (t) => {
    await t.resolves(client('444455556666').send(new CreateKeyCommand({})));
    await t.resolves(client(account, 'eu-west-1').send(new CreateKeyCommand({})));
    const [key] = Keys;
    await t.resolves(kms.send(new UpdateKeyDescriptionCommand({ KeyId: key?.KeyId, Description: 'x' })));
  });
});

test('the quotas are those of the developer guide, and single ones can be set', async (t) => {
  t.match(standardQuotas, { CreateKey: 5, DescribeKey: 2000, TagResource: 10, UntagResource: 5, PutKeyPolicy: 15 });
  const { kms, create } = await startKms(t, { quotas: { UntagResource: 1 } });
  const { KeyId } = await create();
  const untag = () => kms.send(new UntagResourceCommand({ KeyId, TagKeys: ['a'] }));
  const answers = await Promise.allSettled(Array.from({ length: 8 }, untag));
  t.ok(answers.filter(({ status }) => status === 'rejected').length >= 4);
});

test('with stale reads on, two reads in a row can disagree', async (t) => {
  const { kms, url } = await startKms(t);
  const control = caller(url);
  const settings = (seconds: number) => control('PUT', '/_local/settings', { stale_reads_seconds: seconds });
  await settings(600);
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'first' }));
  const KeyId = KeyMetadata?.KeyId ?? '';

  t.test('a new key may be NotFoundException, and not be listed', async (t) => {
    await refuses(t, kms.send(new DescribeKeyCommand({ KeyId })), 'NotFoundException');
    t.equal((await describe(kms, KeyId)).KeyId, KeyId);
    await refuses(t, kms.send(new DescribeKeyCommand({ KeyId })), 'NotFoundException');
    const counts = [];
    for (let index = 0; index < 4; index += 1) counts.push((await kms.send(new ListKeysCommand({}))).Keys?.length);
    t.same(counts, [0, 1, 0, 1]);
  });

  t.test('an old description and old tags come back, and alternate with the new ones', async (t) => {
    await settings(0);
    const { KeyMetadata: other } = await kms.send(new CreateKeyCommand({ Description: 'old' }));
    await settings(600);
    const id = { KeyId: other?.KeyId ?? '' };
    await kms.send(new UpdateKeyDescriptionCommand({ ...id, Description: 'new' }));
    await kms.send(new TagResourceCommand({ ...id, Tags: [{ TagKey: 'a', TagValue: '' }] }));
    const descriptions = [await describe(kms, id.KeyId), await describe(kms, id.KeyId), await describe(kms, id.KeyId)];
    t.same(
      descriptions.map(({ Description }) => Description),
      ['old', 'new', 'old'],
    );
    const counts = [];
    for (let index = 0; index < 4; index += 1) {
      counts.push((await kms.send(new ListResourceTagsCommand(id))).Tags?.length);
    }
    t.same(counts, [0, 1, 0, 1]);
    await t.resolves(
      kms.send(new UpdateKeyDescriptionCommand({ ...id, Description: 'third' })),
      'writes are never stale',
    );
  });

  t.test('off again, all reads are true', async (t) => {
    await settings(0);
    t.equal((await describe(kms, KeyId)).Description, 'first');
    t.equal((await describe(kms, KeyId)).Description, 'first');
  });
});

test('faults by operation', async (t) => {
  const { kms, create, control } = await startKms(t);
  const { KeyId } = await create({ Description: 'untouched' });
  const update = (Description: string) => kms.send(new UpdateKeyDescriptionCommand({ KeyId, Description }));
  const description = async () => (await describe(kms, KeyId)).Description;

  t.test('throttle and 500, so many times', async (t) => {
    await control.fault({ operation: 'UpdateKeyDescription', kind: 'throttle', times: 2 });
    await refuses(t, update('x'), 'ThrottlingException');
    await refuses(t, update('x'), 'ThrottlingException');
    await t.resolves(update('untouched'));
    await control.fault({ operation: '*', kind: 'internal_error' });
    await t.rejects(update('x'), { name: 'KMSInternalException', $metadata: { httpStatusCode: 500 } });
    t.equal(await description(), 'untouched');
  });

  t.test(
    'every error is HTTP 400 but for KMSInternalException, DependencyTimeoutException and KeyUnavailable',
    async (t) => {
      for (const [type, httpStatusCode] of [
        ['KMSInternalException', 500],
        ['DependencyTimeoutException', 500],
        ['KeyUnavailableException', 500],
        ['AccessDeniedException', 400],
        ['LimitExceededException', 400],
      ] as const) {
        await control.fault({ operation: 'UpdateKeyDescription', kind: 'error', type, message: 'On purpose.' });
        await t.rejects(update('x'), { name: type, message: 'On purpose.', $metadata: { httpStatusCode } });
      }
    },
  );

  t.test('the connection is reset before or after the effect', async (t) => {
    await control.fault({ operation: 'UpdateKeyDescription', kind: 'reset_before_effect' });
    await t.rejects(update('before'), { code: 'ECONNRESET' });
    t.equal(await description(), 'untouched');
    await control.fault({ operation: 'UpdateKeyDescription', kind: 'reset_after_effect' });
    await t.rejects(update('after'), { code: 'ECONNRESET' });
    t.equal(await description(), 'after');
  });

  t.test('no answer ever', async (t) => {
    await control.fault({ operation: 'UpdateKeyDescription', kind: 'no_answer_after_effect' });
    const abortController = new AbortController();
    const input = new UpdateKeyDescriptionCommand({ KeyId, Description: 'unanswered' });
    const call = kms.send(input, { abortSignal: abortController.signal });
    const outcome = t.rejects(call, { name: 'AbortError' });
    while ((await description()) !== 'unanswered');
    abortController.abort();
    await outcome;
  });
});

test('latency, the call log, and settings that are not understood', async (t) => {
  const { url, kms, create, control } = await startKms(t);
  const call = caller(url);
  t.equal((await call('PUT', '/_local/settings', { latency_milliseconds: 50 })).status, 200);
  const start = performance.now();
  const { KeyId } = await create();
  t.ok(performance.now() - start >= 49);
  await refuses(t, kms.send(new DescribeKeyCommand({ KeyId: 'no' })), 'NotFoundException');
  const calls = await control.calls({ reads: true });
  t.match(calls, [
    { operation: 'CreateKey', key_id: null, error: null },
    { operation: 'DescribeKey', key_id: 'no', error: 'NotFoundException' },
  ]);
  const { body } = await call<{ counts: object }>('GET', '/_local/calls');
  t.same(body.counts, { CreateKey: 1, DescribeKey: 1 });
  await control.clear();
  t.same(await control.calls({ reads: true }), []);
  for (const wrong of [{ latency: 1 }, { latency_milliseconds: -1 }, { quotas: 'yes' }, { stale_reads_seconds: '1' }]) {
    t.equal((await call('PUT', '/_local/settings', wrong)).status, 400, JSON.stringify(wrong));
  }
  t.match((await call('GET', '/_local/settings')).body, { latency_milliseconds: 50, quotas: false });
  t.ok(KeyId);
});

test('a signature is good for five minutes, whatever the moved clock says', async (t) => {
  const { kms, client, control, create } = await startKms(t);
  await control.advanceClock(40 * 86_400);
  await t.resolves(create());
  const late = client();
  late.config.systemClockOffset = -301_000;
  const words = /^Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)$/;
  await refuses(t, late.send(new ListKeysCommand({})), 'InvalidSignatureException', words);
  const early = client();
  early.config.systemClockOffset = 302_000;
  await refuses(t, early.send(new ListKeysCommand({})), 'InvalidSignatureException', /^Signature not yet current: /);
  t.ok(kms);
});

test('STS GetCallerIdentity: account and caller come from the signed request', async (t) => {
  const { url } = await startKms(t);
  for (const id of [account, '444455556666']) {
    const credentials = { accessKeyId: id, secretAccessKey: 'any' };
    const sts = new STSClient({ endpoint: url, region: 'us-east-1', credentials });
    t.match(await sts.send(new GetCallerIdentityCommand({})), { Account: id, Arn: `arn:aws:iam::${id}:user/local` });
    sts.destroy();
  }
});
