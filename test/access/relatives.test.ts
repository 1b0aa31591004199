import { UpdatePrimaryRegionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { Key } from '../../src/schemas/key.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { eventually, type Problem, startService, withMovedClock } from '../support/service.ts';

const wait = { prefer: 'wait=30' };
const ndjson = { 'content-type': 'application/x-ndjson', ...wait };
type List = { items: Key[] };
type Events = { items: { type: string; data: object; before: object | null; after: object | null }[] };

test('who may see one key of a family is told of the others what KMS tells of that key, and of no record', async (t) => {
  const { url, kms, control } = await startService(t, { ...withTokens, ...withMovedClock });
  const admin = callerWith(url, adminToken);
  for (const [name, region] of Object.entries({ eu: 'eu-west-1', ap: 'ap-south-1' })) {
    t.equal((await admin('POST', '/v1/providers', { name, region })).status, 201);
  }
  const as = async (team: string, role = 'editor') =>
    callerWith(url, (await addToken(admin, { role, tags: { team } })).token);
  const [upper, lower] = [await as('upper'), await as('lower')];
  const make = async (path: string, body: object) => {
    const { status, body: key } = await admin('POST', path, body, wait);
    t.equal(status, 201);
    return key;
  };
  const primary = await make('/v1/keys', { multi_region: true, tags: { team: 'upper' } });
  const replica = await make(`/v1/keys/${primary.id}/replicas`, { provider: 'eu', tags: { team: 'lower' } });
  const at = `/v1/keys/${replica.id}`;

  /** Asks, and holds that no record of a key that the caller may not see is named. */
  const ask = async <Body = Problem>(caller: typeof lower, status: number, ...request: Parameters<typeof lower>) => {
    const answer = await caller<Body>(...request);
    t.equal(answer.status, status, `${request[0]} ${request[1]}: ${JSON.stringify(answer.body)}`);
    const hidden = caller === lower ? primary.id : replica.id;
    t.notMatch(JSON.stringify(answer.body), hidden, `${request[0]} ${request[1]}`);
    return answer.body;
  };
  const mrk = new RegExp(`${primary.arn}`);

  t.test('in refusals', async (t) => {
    for (const change of [{ enable_key_rotation: true }, { key_usage: 'SIGN_VERIFY' }]) {
      t.match((await ask(lower, 422, 'PATCH', at, change)).errors, [{ detail: mrk }], 'its ARN is what KMS tells');
    }
    for (const action of ['rotate', 'recreate']) await ask(lower, 409, 'POST', `${at}/${action}`);
    await ask(lower, 409, 'POST', `${at}/replace`, {});
    await ask(lower, 409, 'POST', `${at}/replicas`, { provider: 'ap', tags: { team: 'lower' } });
    const promoted = await ask(lower, 409, 'POST', `${at}/promote`);
    t.match(promoted.detail, mrk);
    const body = { provider: 'eu', tags: { team: 'upper' } };
    t.notHas(await ask(upper, 409, 'POST', `/v1/keys/${primary.id}/replicas`, body), 'id');
    await ask(upper, 409, 'POST', `/v1/keys/${primary.id}/replace`, { key_usage: 'SIGN_VERIFY' });
    t.match(
      await admin<Problem>('POST', `/v1/keys/${primary.id}/replicas`, { provider: 'eu' }),
      { status: 409, body: { id: replica.id } },
      'who may see it is told which',
    );
  });

  t.test('in lists, exports and lines that are applied', async (t) => {
    t.same((await ask<List>(lower, 200, 'GET', `/v1/keys?replica_of=${primary.id}`)).items, []);
    t.same((await admin<List>('GET', `/v1/keys?replica_of=${primary.id}`)).body.items.length, 1);
    const exported = await ask<string>(lower, 200, 'GET', '/v1/keys/export');
    t.match(JSON.parse(exported), { id: replica.id, replica_of: null });
    t.match((await admin<string>('GET', '/v1/keys/export')).body, `"replica_of":"${primary.id}"`);
    const other = '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a11';
    const line = { ...JSON.parse(exported), replica_of: other };
    const applied = await ask<string>(lower, 200, 'POST', '/v1/keys/apply', JSON.stringify(line), ndjson);
    t.match(JSON.parse(applied), { outcome: 'failed', problem: { status: 409 } });
  });

  t.test('in the error of one that can not be made', async (t) => {
    await control.fault({ operation: 'CreateKey', kind: 'throttle', times: null });
    const shared = { multi_region: true, replicate_to: ['ap'], tags: { team: 'upper' } };
    const { body: unmade } = await admin('POST', '/v1/keys', shared, { prefer: 'respond-async' });
    const [waiting] = unmade.status.replicas;
    await admin('POST', `/v1/keys/${waiting?.id}/sync`, undefined, { prefer: 'respond-async' });
    const seen = await eventually('it says for what it waits', async () => {
      const { status } = (await admin('GET', `/v1/keys/${waiting?.id}`)).body;
      return status.error ?? false;
    });
    t.match(seen, { code: 'PrimaryKeyNotMade' });
    t.notMatch(seen.message, unmade.id);
    await control.clearFaults();
    await eventually('both are made', async () => {
      const { body } = await admin('GET', `/v1/keys/${waiting?.id}`);
      return body.status.state === 'in_sync';
    });
  });

  t.test('in events', async (t) => {
    await kms.send(new UpdatePrimaryRegionCommand({ KeyId: primary.key_id ?? '', PrimaryRegion: 'eu-west-1' }));
    await admin('POST', `/v1/keys/${primary.id}/refresh`);
    const events = async (caller: typeof lower, path: string) => {
      const { items } = await ask<Events>(caller, 200, 'GET', path);
      return items.filter(({ type }) => type === 'key.role_changed' || type.startsWith('drift.'));
    };
    for (const path of [`${at}/events`, '/v1/events?limit=200']) {
      t.equal((await events(lower, path)).length, 3, path);
    }
    t.equal((await events(upper, `/v1/keys/${primary.id}/events`)).length, 3);
    const { body } = await admin<Events>('GET', `${at}/events`);
    const [changed] = body.items.filter(({ type }) => type === 'key.role_changed');
    t.match(changed, { data: { changes: { replica_of: { before: primary.id, after: null } } } });
    t.match(changed, { before: { replica_of: primary.id } }, 'who may see both is told which');
  });
});
