import {
  CreateGrantCommand,
  type CreateGrantCommandInput,
  ListGrantsCommand,
  RevokeGrantCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Event } from '../../src/schemas/history.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { eventually, type Problem, startService } from '../support/service.ts';

type Page<Item> = { items: Item[]; next_cursor: string | null };
type Grant = { grant_id: string; grantee_principal: string };

const app = 'arn:aws:iam::111122223333:role/app';
const other = 'arn:aws:iam::111122223333:role/other';
const patient = { prefer: 'wait=60' };

test('grants of a key are listed, revoked and retired', async (t) => {
  const { url, kms, control } = await startService(t, withTokens);
  const call = callerWith(url, adminToken);
  const { id, key_id } = (await call('POST', '/v1/keys', {})).body;
  const KeyId = key_id ?? '';
  const tokens: string[] = [];
  const give = async (input: Partial<CreateGrantCommandInput> = {}) => {
    const given = { KeyId, GranteePrincipal: app, Operations: ['Decrypt' as const], ...input };
    const { GrantId = '', GrantToken = '' } = await kms.send(new CreateGrantCommand(given));
    tokens.push(GrantToken);
    return GrantId;
  };
  const inKms = async () =>
    ((await kms.send(new ListGrantsCommand({ KeyId }))).Grants ?? []).map(({ GrantId }) => GrantId);
  const list = (query = '') => call<Page<Grant> & Problem>('GET', `/v1/keys/${id}/grants${query}`);
  const end = (how: string, grant: string, headers: Record<string, string> = patient, as = call) =>
    as<Problem>('POST', `/v1/keys/${id}/grants/${grant}/${how}`, undefined, headers);
  const eventsOf = async (grant: string) => {
    const { body } = await call<Page<Event>>('GET', `/v1/keys/${id}/events?limit=200`);
    return body.items.filter(({ data }) => JSON.stringify(data).includes(grant));
  };
  const callsOf = async (operation: string) => {
    const calls = await control.calls();
    return calls.filter((one) => one.operation === operation).length;
  };

  t.test('lists them as KMS does, by pages and filters', async (t) => {
    const Constraints = { EncryptionContextSubset: { team: 'ops' } };
    const named = await give({ Name: 'one', RetiringPrincipal: other, Constraints, GranteePrincipal: other });
    await give();
    const { body: first } = await list('?limit=1');
    const { body: second } = await list(`?limit=1&cursor=${first.next_cursor}`);
    t.same([first.items.length, second.items.length, second.next_cursor], [1, 1, null]);
    t.same(
      [...first.items, ...second.items].map(({ grant_id }) => grant_id).sort(),
      (await inKms()).sort(),
      'each once',
    );
    t.match((await list(`?grantee_principal=${other}`)).body.items, [
      {
        grant_id: named,
        name: 'one',
        grantee_principal: other,
        grantee_service_principal: null,
        retiring_principal: other,
        issuing_account: 'arn:aws:iam::111122223333:root',
        operations: ['Decrypt'],
        constraints: { encryption_context_subset: { team: 'ops' }, encryption_context_equals: null, source_arn: null },
        creation_date: /^\d{4}-/,
      },
    ]);
    t.equal((await list(`?grant_id=${named}`)).body.items.length, 1);
    t.equal((await list(`?grant_id=none`)).status, 422, 'KMS refuses what is no id');
    for (const query of ['?limit=0', '?cursor=x', `?grant_id=${named}&cursor=${first.next_cursor}`, '?key=1']) {
      t.equal((await list(query)).status, 400, query);
    }
    for (const grant of await inKms()) t.equal((await end('revoke', grant ?? '')).status, 200);
    t.same(await inKms(), []);
  });

  t.test('says who ended it, and what it had allowed to whom', async (t) => {
    for (const [how, operation, type] of [
      ['revoke', 'RevokeGrant', 'key.grant_revoked'],
      ['retire', 'RetireGrant', 'key.grant_retired'],
    ] as const) {
      const grant = await give();
      await control.clear();
      for (const replayed of [null, 'true']) {
        const headers = { ...patient, 'idempotency-key': how, 'x-request-id': `${how}-1` };
        const answer = await end(how, grant, headers);
        t.match(answer, { status: 200, body: { id, status: { state: 'in_sync', generation: 1 } } });
        t.equal(answer.headers.get('idempotent-replayed'), replayed);
      }
      t.equal(await callsOf(operation), 1);
      const by = { actor: 'token:bootstrap', request_id: `${how}-1` };
      t.match(await eventsOf(grant), [
        {
          type,
          ...by,
          data: { grant_id: grant, operation, grant: { grantee_principal: app, operations: ['Decrypt'] } },
        },
        { type: 'kms.write', data: { operation, outcome: 'done', parameters: { GrantId: grant } } },
        { type: 'key.grant_end_requested', ...by },
      ]);
    }
    t.same(await inKms(), []);
  });

  t.test('what KMS does not have, or refuses, changes nothing and says why', async (t) => {
    const none = '0'.repeat(64);
    const missing = await end('revoke', none);
    t.match(missing, { status: 404, body: { id, kms_error: { code: 'NotFoundException', operation: 'RevokeGrant' } } });
    t.match(await end('retire', 'x'), { status: 422, body: { kms_error: { code: 'InvalidGrantIdException' } } });
    const grant = await give();
    await control.fault({ operation: 'RevokeGrant', kind: 'error', type: 'KMSInvalidStateException' });
    const refused = await end('revoke', grant);
    t.match(refused, { status: 422, body: { kms_error: { code: 'KMSInvalidStateException' } } });
    t.match(await eventsOf(grant), [
      { type: 'key.grant_end_refused', data: { error: { code: 'KMSInvalidStateException' } } },
      { type: 'kms.write', data: { outcome: 'not_done' } },
      { type: 'key.grant_end_requested' },
    ]);
    t.equal((await call('GET', `/v1/keys/${id}`)).body.status.state, 'in_sync', 'the key is well');
    const { token } = await addToken(call, { role: 'operator' });
    t.equal((await end('revoke', grant, {}, callerWith(url, token))).status, 403);
    t.equal((await end('revoke', grant, { 'if-match': '"9"' })).status, 412);
    t.same(await inKms(), [grant]);
    t.equal((await end('revoke', grant)).status, 200);
  });

  t.test('a lost answer is followed up until KMS tells', async (t) => {
    for (const kind of ['reset_after_effect', 'reset_before_effect']) {
      const grant = await give();
      await control.clear();
      await control.fault({ operation: 'RevokeGrant', kind });
      t.equal((await end('revoke', grant)).status, 200, kind);
      t.same(await inKms(), []);
      t.equal(await callsOf('RevokeGrant'), 2);
      const events = await eventsOf(grant);
      t.equal(events[0]?.type, 'key.grant_revoked');
      t.match(events.at(-2), { type: 'kms.write', data: { outcome: 'unknown' } });
    }
    const grant = await give();
    await control.fault({ operation: 'RevokeGrant', kind: 'error', type: 'NotFoundException' });
    t.equal((await end('revoke', grant)).status, 200, 'that KMS knows nothing of a grant that it lists is no answer');
    t.same(await inKms(), []);
  });

  t.test('of one that somebody else has revoked meanwhile KMS has the last word', async (t) => {
    const grant = await give();
    await kms.send(new RevokeGrantCommand({ KeyId, GrantId: grant }));
    t.equal((await end('revoke', grant)).status, 404);
    await call('DELETE', `/v1/keys/${id}`);
    t.equal((await end('revoke', grant)).status, 409, 'a key pending deletion takes reads only');
    t.same((await list()).body.items, []);
    const { body } = await call<Page<Event>>('GET', '/v1/events?limit=200');
    t.notOk(
      tokens.some((token) => JSON.stringify(body).includes(token)),
      'no token of a grant is told',
    );
    const open = await eventually('nothing is left open', async () => {
      const { body: key } = await call('GET', `/v1/keys/${id}`);
      return key.status.error === null;
    });
    t.ok(open);
  });
});
