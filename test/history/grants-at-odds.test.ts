/** Ends of grants that meet denials, lost and odd answers, stale lists, and other commands of their key. */
import { CreateGrantCommand, ListGrantsCommand, RevokeGrantCommand } from '@aws-sdk/client-kms';
import tap, { type Test, test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import { startGateway } from '../support/gateway.ts';
import { startKms } from '../support/local-kms.ts';
import { eventually, letDaysPass, type Problem, startService } from '../support/service.ts';

// Each has a service of its own, and most of its time is waiting.
tap.jobs = 2;

type Page<Item> = { items: Item[]; next_cursor: string | null };
type Grant = { grant_id: string };
type How = 'revoke' | 'retire';

const quick = { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '0' };
const patient = { prefer: 'wait=60' };
const denied = { kind: 'error', type: 'AccessDeniedException', message: 'Not you.', times: null };

/** A service and the grants of a key. `gateway`: what may stand between the two, where KMS is another process. */
async function start(t: Test, environment: Record<string, string> = {}) {
  const service = await startService(t, { ...quick, ...environment });
  const { call, kms } = service;
  const make = async () => {
    const { id, key_id } = (await call('POST', '/v1/keys', {})).body;
    const KeyId = key_id ?? '';
    const give = async () => {
      const given = { KeyId, GranteePrincipal: 'arn:aws:iam::111122223333:role/app', Operations: ['Decrypt' as const] };
      return (await kms.send(new CreateGrantCommand(given))).GrantId ?? '';
    };
    const end = (how: How, grant: string, headers: Record<string, string> = patient) =>
      call<Problem & { status: { error: object | null } }>(
        'POST',
        `/v1/keys/${id}/grants/${grant}/${how}`,
        undefined,
        headers,
      );
    /** The newest first. */
    const told = async (grant: string) => {
      const { body } = await call<Page<Event>>('GET', `/v1/keys/${id}/events?limit=200`);
      return body.items.filter(({ type, data }) => /grant/.test(type) && JSON.stringify(data).includes(grant));
    };
    const writes = async (grant: string) => {
      const { body } = await call<Page<Event>>('GET', `/v1/keys/${id}/events?type=kms.write&limit=200`);
      return body.items.filter(({ data }) => JSON.stringify(data).includes(grant)).reverse();
    };
    const inKms = async () => {
      const { Grants = [] } = await kms.send(new ListGrantsCommand({ KeyId }));
      return Grants.map(({ GrantId }) => GrantId);
    };
    const errorShown = async () => (await call('GET', `/v1/keys/${id}`)).body.status.error;
    const untilDenied = () =>
      eventually('it is denied', async () => (await errorShown())?.code === 'AccessDeniedException');
    return { id, KeyId, give, end, told, writes, inKms, errorShown, untilDenied };
  };
  return { ...service, make };
}

/** The same with somebody on its way to KMS. */
async function startBehindGateway(t: Test) {
  const target = await startKms(t);
  const gateway = await startGateway(t, target.url);
  const service = await start(t, { KMS_ENDPOINT: gateway.url });
  return { ...service, gateway };
}

test('one that has to wait holds up no other of the key', async (t) => {
  const { control, call, make } = await start(t);
  const { id, give, end, inKms, untilDenied } = await make();
  const [first, second, third] = [await give(), await give(), await give()];
  await control.fault({ operation: 'RetireGrant', ...denied });
  const waiting = end('retire', first);
  await untilDenied();
  t.equal((await end('revoke', second, { prefer: 'wait=5' })).status, 200);
  t.equal((await call('POST', `/v1/keys/${id}/rotate`, undefined, { prefer: 'wait=5' })).status, 200);
  await control.fault({ operation: 'RotateKeyOnDemand', kind: 'reset_before_effect' });
  await call('POST', `/v1/keys/${id}/rotate`, undefined, { prefer: 'respond-async' });
  await eventually('a rotation is lost', async () => (await control.calls()).some(({ error }) => error !== null));
  t.equal((await end('revoke', third, { prefer: 'wait=5' })).status, 200, 'nor does a rotation');
  t.same(await inKms(), [first]);
  await control.clearFaults();
  t.equal((await waiting).status, 200);
  t.same(await inKms(), []);
});

test('one that KMS denies', async (t) => {
  const { control, call, make } = await start(t, { PROPAGATION_SECONDS: '4' });
  const { id, give, end, told, writes, errorShown } = await make();

  t.test('tells who asked what KMS says, while it is tried again', async (t) => {
    const grant = await give();
    await control.fault({ operation: 'RevokeGrant', ...denied });
    const error = { code: 'AccessDeniedException', message: 'Not you.', operation: 'RevokeGrant', retryable: true };
    const { status, body } = await end('revoke', grant, { prefer: 'wait=1' });
    t.equal(status, 202);
    t.match(body.status.error, { ...error, next_attempt_at: /^\d{4}-/ });
    t.match(await errorShown(), error);
    t.equal((await call('PATCH', `/v1/keys/${id}`, { description: 'new' })).status, 200, 'the key goes on');
    t.match(await errorShown(), error, 'and it is still told');
    const [first] = await writes(grant);
    t.match(first?.data, { outcome: 'refused', error: { code: 'AccessDeniedException' } }, 'the grant is named');
    await control.clearFaults();
    await eventually('it is done', async () => (await told(grant))[0]?.type === 'key.grant_revoked');
    await eventually('nothing is told any more', async () => (await errorShown()) === null);
  });

  t.test('is refused when the time for rights to be known is over, and not long after', async (t) => {
    const grant = await give();
    await control.fault({ operation: 'RevokeGrant', ...denied });
    const answer = end('revoke', grant);
    let next = 0;
    await eventually('it is refused', async () => {
      const shown = await errorShown();
      next = Math.max(next, Date.parse(shown?.next_attempt_at ?? '') || 0);
      return (await told(grant))[0]?.type === 'key.grant_end_refused';
    });
    const { status, body } = await answer;
    t.equal(status, 422);
    const asked = (await told(grant)).at(-1);
    t.ok(next - Date.parse(asked?.created_at ?? '') < 5000, 'the last try is when the time is over');
    t.match(body.kms_error, { code: 'AccessDeniedException', operation: 'RevokeGrant' });
    t.match(await told(grant), [{ type: 'key.grant_end_refused' }, { type: 'key.grant_end_requested' }]);
    t.equal(await errorShown(), null);
    await control.clearFaults();
  });
});

test("answers that do not come, or are not KMS's, are followed up", async (t) => {
  const { control, make } = await start(t);
  const faults = [
    { kind: 'internal_error', carried_out: true },
    { kind: 'internal_error' },
    { kind: 'html', status: 502 },
    { kind: 'html', status: 200, carried_out: true },
    { kind: 'html', status: 403, carried_out: true },
    { kind: 'unknown_error', status: 400, carried_out: true },
    { kind: 'reset_after_effect' },
    { kind: 'no_answer_after_effect' },
    { kind: 'no_answer_before_effect' },
    { kind: 'stalled' },
    { kind: 'truncated' },
    { kind: 'throttle' },
  ];
  for (const [how, operation, type] of [
    ['revoke', 'RevokeGrant', 'key.grant_revoked'],
    ['retire', 'RetireGrant', 'key.grant_retired'],
  ] as const) {
    const follow = async (fault: (typeof faults)[number]) => {
      const says = `${operation}: ${JSON.stringify(fault)}`;
      const { KeyId, give, end, told, writes, inKms } = await make();
      const grant = await give();
      await control.fault({ operation, ...fault, key_id: KeyId });
      t.equal((await end(how, grant)).status, 200, says);
      t.same(await inKms(), [], says);
      const events = await told(grant);
      t.match(events, [{ type }, { type: 'key.grant_end_requested' }], says);
      t.equal(events.length, 2, says);
      const [first] = await writes(grant);
      t.match(first?.data, { outcome: fault.kind === 'throttle' ? 'not_done' : 'unknown' }, says);
    };
    await Promise.all(faults.map(follow));
  }
});

test('a list of grants that is stale', async (t) => {
  const { gateway, make, kms } = await startBehindGateway(t);
  const { KeyId, give, end, told, inKms } = await make();
  const headers = { 'content-type': 'application/x-amz-json-1.1' };
  const none = { operation: 'ListGrants', body: '{"Grants":[],"Truncated":false}', headers };
  const unknown = {
    operation: 'RevokeGrant',
    status: 400,
    body: '{"__type":"NotFoundException","message":"No."}',
    headers,
  };

  t.test('and shows one that is revoked already: it is asked again until it does not', async (t) => {
    const grant = await give();
    const shown = JSON.stringify({ Grants: [{ GrantId: grant, Operations: ['Decrypt'] }], Truncated: false });
    gateway.answer({ operation: 'RevokeGrant', isCarriedOut: true, status: 502, body: '<html>' });
    // Before the first call, before the second, and after it.
    gateway.answer({ operation: 'ListGrants', times: 3, body: shown, headers });
    t.equal((await end('revoke', grant)).status, 200);
    t.equal(gateway.left(), 0);
    t.match(await told(grant), [{ type: 'key.grant_revoked' }, {}]);
    t.same(await inKms(), []);
  });

  t.test('and shows one that somebody else has revoked: 404, once it does not', async (t) => {
    const grant = await give();
    await kms.send(new RevokeGrantCommand({ KeyId, GrantId: grant }));
    const shown = JSON.stringify({ Grants: [{ GrantId: grant }], Truncated: false });
    gateway.answer({ operation: 'ListGrants', times: 2, body: shown, headers });
    t.equal((await end('revoke', grant)).status, 404);
    t.equal(gateway.left(), 0);
    t.match(await told(grant), [{ type: 'key.grant_end_refused', data: { error: { code: 'NotFoundException' } } }, {}]);
  });

  t.test('and does not show a new one: it is revoked, and nobody can tell what it allowed', async (t) => {
    const grant = await give();
    gateway.answer(none);
    t.equal((await end('revoke', grant)).status, 200);
    t.match(await told(grant), [{ type: 'key.grant_revoked', data: { grant: null } }, {}]);
    t.same(await inKms(), []);
  });

  t.test('where KMS does not know a new one at all yet it is 404, and can be asked for again', async (t) => {
    const grant = await give();
    gateway.answer({ ...none, times: 2 }, unknown);
    t.equal((await end('revoke', grant)).status, 404);
    t.equal((await end('revoke', grant)).status, 200);
    t.match(
      (await told(grant)).map(({ type }) => type),
      ['key.grant_revoked', 'key.grant_end_requested', 'key.grant_end_refused', 'key.grant_end_requested'],
    );
  });

  t.test('a list that KMS does not give is no word on the grant, and holds nothing up for good', async (t) => {
    for (const odd of [
      { status: 502, body: '<html>' },
      { status: 400, body: '{"__type":"KMSInvalidStateException","message":"Not now."}', headers, times: 100 },
      { status: 400, body: '{"__type":"AccessDeniedException","message":"Not you."}', headers, times: 100 },
      { body: '{}', headers },
    ]) {
      const grant = await give();
      gateway.answer({ operation: 'ListGrants', ...odd });
      t.equal((await end('revoke', grant, { prefer: 'wait=10' })).status, 200, JSON.stringify(odd));
      gateway.clear();
      t.same(await inKms(), []);
    }
  });
});

test('a key that is taken away meanwhile', async (t) => {
  const service = await start(t, { PROPAGATION_SECONDS: '60' });
  const { control, call, make } = service;
  const refusedWith = (code: string) => [{ type: 'key.grant_end_refused', data: { error: { code } } }, {}];
  /** A key with a grant that KMS denies to revoke. */
  const begin = async () => {
    const key = await make();
    const grant = await key.give();
    await control.fault({ operation: 'RevokeGrant', ...denied, key_id: key.KeyId });
    const waiting = key.end('revoke', grant);
    await key.untilDenied();
    return { ...key, grant, waiting, path: `/v1/keys/${key.id}` };
  };

  t.test('pending deletion: KMS still revokes it', async (t) => {
    const { path, grant, waiting, told } = await begin();
    await call('DELETE', path);
    await control.clearFaults();
    t.equal((await waiting).status, 200);
    t.match(await told(grant), [{ type: 'key.grant_revoked', data: { grant: { grant_id: grant } } }, {}]);
  });

  t.test('replaced: it is refused', async (t) => {
    const { path, grant, waiting, told } = await begin();
    const other = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
    t.equal((await call('POST', `${path}/replace`, other)).status, 200);
    t.match(await waiting, { status: 422, body: { kms_error: { code: 'KeyReplaced', operation: null } } });
    t.match(await told(grant), refusedWith('KeyReplaced'));
    await control.clearFaults();
  });

  t.test('a replacement that KMS refuses leaves it to be done', async (t) => {
    const { path, grant, waiting, told } = await begin();
    await control.fault({ operation: 'CreateKey', kind: 'error', type: 'LimitExceededException' });
    const other = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
    t.equal((await call('POST', `${path}/replace`, other)).status, 422);
    await control.clearFaults();
    t.equal((await waiting).status, 200);
    t.match(await told(grant), [{ type: 'key.grant_revoked' }, {}]);
  });

  t.test('released: what was asked before comes first', async (t) => {
    const { path, grant, told, inKms } = await begin();
    const released = call('POST', `${path}/release`, undefined, patient);
    await eventually('it is being released', async () => (await call('GET', path)).status === 200);
    await control.clearFaults();
    t.equal((await released).status, 204);
    t.match(await told(grant), [{ type: 'key.grant_revoked' }, {}]);
    t.same(await inKms(), []);
  });

  t.test('lost: it is refused', async (t) => {
    const { id, path, grant, waiting, told } = await begin();
    await control.loseKey((await call('GET', path)).body.arn);
    await eventually('it is lost', async () => {
      return (await call('POST', `/v1/keys/${id}/refresh`)).body.status.state === 'failed';
    });
    t.equal((await waiting).status, 404);
    t.match(await told(grant), refusedWith('NotFoundException'));
    await control.clearFaults();
  });

  t.test('lost and released: it is refused, and nothing is left of it', async (t) => {
    const { path, grant, told } = await begin();
    const { arn } = (await call('GET', path)).body;
    await call('POST', `${path}/release`, undefined, { prefer: 'respond-async' });
    await control.loseKey(arn);
    await eventually('it is gone', async () => (await call('GET', path)).status === 404);
    t.match(await told(grant), refusedWith('NotManaged'));
    await control.clearFaults();
  });
});

test('a key that KMS deletes before its grant is revoked', async (t) => {
  const service = await start(t, { PROPAGATION_SECONDS: '60' });
  const { control, call, make } = service;
  const { id, give, end, told, untilDenied } = await make();
  const grant = await give();
  await control.fault({ operation: 'RevokeGrant', ...denied });
  const waiting = end('revoke', grant);
  await untilDenied();
  await call('DELETE', `/v1/keys/${id}`);
  await letDaysPass(service, 31);
  await eventually('it is deleted', async () => {
    return (await call('POST', `/v1/keys/${id}/refresh`)).body.status.state === 'deleted';
  });
  t.match(await waiting, { status: 422, body: { kms_error: { code: 'KeyDeleted' } } });
  t.match(await told(grant), [{ type: 'key.grant_end_refused', data: { error: { code: 'KeyDeleted' } } }, {}]);
});

test('ten thousand grants are listed by pages, each once, and any of them is revoked by few calls', async (t) => {
  const { control, call, make } = await start(t);
  const { id, give, end, told } = await make();
  const count = 10_000;
  const given: string[] = [];
  for (let made = 0; made < count; made += 50) given.push(...(await Promise.all(Array.from({ length: 50 }, give))));
  const seen: string[] = [];
  const page = async (cursor: string) => {
    const { status, body } = await call<Page<Grant>>('GET', `/v1/keys/${id}/grants?limit=100${cursor}`);
    t.equal(status, 200);
    seen.push(...body.items.map(({ grant_id }) => grant_id));
    return body.next_cursor;
  };
  let next = await page('');
  while (next !== null) next = await page(`&cursor=${next}`);
  t.same(seen.sort(), given.sort());
  await control.clear();
  const last = seen.at(-1) ?? '';
  t.equal((await end('revoke', last)).status, 200);
  t.match((await told(last))[0], { type: 'key.grant_revoked', data: { grant: { grant_id: last } } });
  const lists = (await control.calls({ reads: true })).filter(({ operation }) => operation === 'ListGrants');
  t.equal(lists.length, 1);
});
