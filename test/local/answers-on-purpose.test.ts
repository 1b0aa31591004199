import {
  CreateKeyCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  GetKeyPolicyCommand,
  ListKeysCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import { describe, refuses, startKms } from '../support/local-kms.ts';

/** A call as it goes over the wire, so that answers can be seen that no SDK understands. */
function wire(url: string) {
  const authorization = 'AWS4-HMAC-SHA256 Credential=111122223333/20260101/us-east-1/kms/aws4_request';
  return (operation: string, parameters: object, signal?: AbortSignal) =>
    fetch(url, {
      method: 'POST',
      headers: {
        authorization,
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': `TrentService.${operation}`,
      },
      body: JSON.stringify(parameters),
      ...(signal === undefined ? {} : { signal }),
    });
}

test("answers that are not KMS's, before and after the effect", async (t) => {
  const { url, kms, create, control } = await startKms(t);
  const { KeyId } = await create({ Description: 'untouched' });
  const call = wire(url);
  const update = (Description: string) => call('UpdateKeyDescription', { KeyId, Description });
  const description = async () => (await describe(kms, KeyId)).Description;
  const befall = (fault: object) => control.fault({ operation: 'UpdateKeyDescription', ...fault });

  t.test('an HTML page of any status', async (t) => {
    for (const [status, carried_out, is] of [
      [200, true, 'html 200'],
      [403, false, 'html 200'],
      [429, true, 'html 429'],
      [502, false, 'html 429'],
    ] as const) {
      await befall({ kind: 'html', status, carried_out });
      const answer = await update(`html ${status}`);
      t.equal(answer.status, status);
      t.match(await answer.text(), /^<!DOCTYPE html>/);
      t.equal(await description(), is);
    }
  });

  t.test('an error that AWS does not document, and an operation that this KMS lacks', async (t) => {
    await befall({ kind: 'unknown_error', status: 403, type: 'Blocked', message: 'By a proxy.', carried_out: true });
    const blocked = await update('unknown error');
    t.same([blocked.status, await blocked.json()], [403, { __type: 'Blocked', message: 'By a proxy.' }]);
    t.equal(await description(), 'unknown error');
    for (const [type, status] of [
      ['InternalFailure', 501],
      ['UnknownOperationException', 400],
      ['InvalidAction', 400],
    ] as const) {
      await befall({ kind: 'unsupported', type });
      const answer = await update('lacking');
      t.match([answer.status, await answer.json()], [status, { __type: type }]);
    }
    t.equal(await description(), 'unknown error');
  });

  t.test('half of an answer: its head tells the length of the whole, or of the half', async (t) => {
    await control.fault({ operation: 'DescribeKey', kind: 'truncated' });
    await t.rejects(call('DescribeKey', { KeyId }).then((answer) => answer.text()));
    await control.fault({ operation: 'DescribeKey', kind: 'truncated', told_length: 'part' });
    const answer = await call('DescribeKey', { KeyId });
    t.equal(answer.status, 200);
    t.match(await answer.text(), /^\{"KeyMetadata":\{.*[^}]$/);
    await befall({ kind: 'truncated', carried_out: false });
    await t.rejects(update('truncated').then((answer) => answer.text()));
    t.not(await description(), 'truncated');
    await befall({ kind: 'truncated' });
    await t.rejects(update('truncated').then((answer) => answer.text()));
    t.equal(await description(), 'truncated');
  });

  t.test('an answer without one of its members', async (t) => {
    await control.fault({ operation: 'DescribeKey', kind: 'dropped_field', member: 'KeyMetadata.KeyState' });
    const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId }));
    t.same([KeyMetadata?.KeyId, KeyMetadata?.KeyState], [KeyId, undefined]);
    t.equal((await describe(kms, KeyId)).KeyState, 'Enabled');
  });

  t.test('an answer that stalls after its head and half of its body', async (t) => {
    await befall({ kind: 'stalled' });
    const gone = new AbortController();
    const answer = await call('UpdateKeyDescription', { KeyId, Description: 'stalled' }, gone.signal);
    t.equal(answer.status, 200);
    t.equal(await description(), 'stalled');
    const rest = t.rejects(answer.text(), { name: 'AbortError' });
    gone.abort();
    await rest;
  });

  t.test('an answer that is far too large, or has no end', async (t) => {
    await befall({ kind: 'oversized', bytes: 1_000_000 });
    const { Filler } = (await (await update('large')).json()) as { Filler: string };
    t.ok(Filler.length >= 1_000_000);
    await befall({ kind: 'oversized', bytes: null, carried_out: false });
    const { body } = await update('endless');
    let seen = 0;
    for await (const chunk of body ?? []) {
      seen += chunk.length;
      if (seen > 10_000_000) break;
    }
    t.ok(seen > 10_000_000);
    t.equal(await description(), 'large');
  });

  t.test('for one key, for some seconds, and an error although the call was carried out', async (t) => {
    const other = await create({ Description: 'other' });
    await befall({ kind: 'error', type: 'AccessDeniedException', key_id: KeyId, times: null, carried_out: true });
    t.equal((await call('UpdateKeyDescription', { KeyId: other.Arn, Description: 'fine' })).status, 200);
    t.match(await (await update('denied, they say')).json(), { __type: 'AccessDeniedException' });
    t.equal(await description(), 'denied, they say');
    await control.clearFaults();
    await befall({ kind: 'throttle', times: null, seconds: 0 });
    t.equal((await update('after the fault')).status, 200);
    t.equal((await control.fault({ kind: 'dropped_field' })).status, 400);
  });
});

test('settings for a KMS that is not as the facts have it', async (t) => {
  const { kms, create, control, client } = await startKms(t);

  t.test('parameters that it takes and does nothing with', async (t) => {
    await control.settings({ ignored_parameters: { CreateKey: ['MultiRegion', 'Tags'] } });
    t.equal((await create({ MultiRegion: true, Tags: [{ TagKey: 'a', TagValue: '' }] })).MultiRegion, false);
    await control.settings({ ignored_parameters: {} });
    t.equal((await create({ MultiRegion: true })).MultiRegion, true);
  });

  t.test('states that do not tell, for so many reads; what they do not allow is refused', async (t) => {
    const { KeyId, Arn } = await create();
    await control.settings({ key_states: [{ key_id: KeyId, state: 'Updating', reads: 2 }] });
    t.match(await describe(kms, KeyId), { KeyState: 'Updating', Enabled: false });
    await refuses(
      t,
      kms.send(new DisableKeyCommand({ KeyId: Arn })),
      'KMSInvalidStateException',
      `${Arn} is updating.`,
    );
    t.match(await describe(kms, KeyId), { KeyState: 'Updating' });
    t.match(await describe(kms, KeyId), { KeyState: 'Enabled', Enabled: true });
    await control.settings({ key_states: [{ key_id: '*', state: 'PendingImport', seconds: 600 }] });
    t.match(await create(), { KeyState: 'PendingImport' });
    await control.settings({ key_states: [] });
  });

  t.test('policies that come back otherwise', async (t) => {
    const statement = {
      Sid: 'x',
      Effect: 'Allow',
      Principal: { AWS: ['arn:aws:iam::111122223333:root', 'arn:aws:iam::111122223333:role/app'] },
      Action: ['kms:*'],
      Resource: '*',
      Condition: { NumericLessThan: { 'aws:MultiFactorAuthAge': 300 }, StringLike: { 'aws:userid': ['a', 'b'] } },
    };
    const { KeyId } = await create({
      Policy: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }),
      BypassPolicyLockoutSafetyCheck: true,
    });
    const shown = async () => {
      const { Policy = '' } = await kms.send(new GetKeyPolicyCommand({ KeyId }));
      return JSON.parse(Policy).Statement[0];
    };
    await control.settings({ policy_rendering: ['unique_ids', 'numbers_as_texts', 'texts_for_lists_of_one'] });
    t.match(await shown(), {
      Principal: { AWS: ['arn:aws:iam::111122223333:root', /^AROA/] },
      Action: 'kms:*',
      Condition: { NumericLessThan: { 'aws:MultiFactorAuthAge': '300' } },
    });
    await control.settings({ policy_rendering: ['emptied_conditions', 'every_other_read'] });
    const lists = [await shown(), await shown(), await shown()].map(
      ({ Condition }) => Condition.StringLike['aws:userid'],
    );
    t.same(lists.filter((list) => list.length === 0).length % 2, lists[0].length === 0 ? 0 : 1);
    await control.settings({ policy_rendering: [] });
    t.same(await shown(), statement);
  });

  t.test('a clock that is wrong, in its answers and for signatures', async (t) => {
    await control.settings({ clock_offset_seconds: 660 });
    await refuses(t, client().send(new ListKeysCommand({})), 'InvalidSignatureException', /^Signature expired/);
    await control.settings({ clock_offset_seconds: -660 });
    await refuses(t, client().send(new ListKeysCommand({})), 'InvalidSignatureException', /^Signature not yet current/);
    const offset = client();
    offset.config.systemClockOffset = -660_000;
    const [since, until] = [Date.now() - 661_000, Date.now() - 600_000];
    const { KeyMetadata } = await offset.send(new CreateKeyCommand({}));
    const made = KeyMetadata?.CreationDate?.getTime() ?? 0;
    t.ok(made > since && made < until);
    await control.settings({ clock_offset_seconds: 0 });
  });

  t.test('what no operation takes can be put into a key', async (t) => {
    const { KeyId, Arn } = await create();
    await control.changeKey(Arn, { description: 'a\0b', policy: 'not JSON', tags: { a: '1' } });
    t.equal((await describe(kms, KeyId)).Description, 'a\0b');
    t.equal((await kms.send(new GetKeyPolicyCommand({ KeyId }))).Policy, 'not JSON');
  });

  t.test('what is not understood is refused', async (t) => {
    for (const wrong of [
      { clock_offset_seconds: '1' },
      { ignored_parameters: ['Tags'] },
      { policy_rendering: ['upside_down'] },
      { key_states: [{ key_id: 'x', state: 'Enabled' }] },
    ]) {
      t.equal((await control.settings(wrong)).status, 400, JSON.stringify(wrong));
    }
  });
});
