import { randomUUID } from 'node:crypto';
import {
  CreateKeyCommand,
  DescribeKeyCommand,
  ScheduleKeyDeletionCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { test } from 'tap';
import type { ApplyResult, KeyDeclaration, KeyReleased } from '../../src/schemas/key-lines.ts';
import { addToken, adminToken, callerWith, withTokens } from '../support/access.ts';
import { allKeyIds, ownPolicy, tags } from '../support/kms-truth.ts';
import { newDatabase } from '../support/postgres.ts';
import { type Call, eventually, type Problem, startService, tooSlow } from '../support/service.ts';

const ndjson = { 'content-type': 'application/x-ndjson' };
const textOf = (lines: readonly unknown[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join('');
const linesIn = <Line>(text: string): Line[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** Sends lines, and reads what became of them; the answer as it is where it is a problem. */
function applier(call: Call) {
  return async (lines: readonly unknown[] | string, query = '', headers = {}) => {
    const body = typeof lines === 'string' ? lines : textOf(lines);
    const answer = await call<string>('POST', `/v1/keys/apply${query}`, body, { ...ndjson, ...headers });
    const isProblem = answer.headers.get('content-type') !== ndjson['content-type'];
    const problem = answer.body as unknown as Problem;
    return { ...answer, problem, results: isProblem ? [] : linesIn<ApplyResult>(answer.body) };
  };
}

const outcomes = (results: ApplyResult[]) => results.map(({ outcome }) => outcome);

test('GET /v1/keys/export and POST /v1/keys/apply', async (t) => {
  const { url, kms, kmsUrl, control, services } = await startService(t, { ...withTokens, SETTLE_SECONDS: '0' });
  const call = callerWith(url, adminToken);
  const apply = applier(call);
  const exported = async (query = '', by = call) => {
    const { headers, body } = await by<string>('GET', `/v1/keys/export${query}`);
    t.equal(headers.get('content-type'), ndjson['content-type']);
    return linesIn<KeyDeclaration>(body);
  };
  const make = async (body: object) => (await call('POST', '/v1/keys', body)).body;
  await call('POST', '/v1/providers', { name: 'eu', region: 'eu-west-1', default_tags: { env: 'prod' } });
  const plain = await make({ description: 'plain "quoted" %{y}\n\u00e4\u{1F511}', tags: { team: 'payments' } });
  const whole = await make({
    description: 'whole',
    provider: 'eu',
    policy: ownPolicy('Whole'),
    enable_key_rotation: true,
    rotation_period_in_days: 180,
    is_enabled: false,
    multi_region: true,
    tags: { team: 'cards' },
    drift_policy: 'report',
    deletion_window_in_days: 9,
    deletion_protection: true,
  });
  const signing = await make({ customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' });
  const going = await make({ description: 'going' });
  await call('DELETE', `/v1/keys/${going.id}`);

  t.test('what is declared, oldest first, with the filters of the list', async (t) => {
    const lines = await exported();
    t.same(
      lines.map(({ id }) => id),
      [plain.id, whole.id, signing.id],
      'neither what is deleted nor what is about to be',
    );
    const { headers } = await call('GET', '/v1/keys/export');
    t.match(headers.get('keyward-warning'), /^1 pending deletion/);
    const { id, arn, key_id, provider, description, policy, tags } = whole;
    t.match(lines[1], { id, arn, key_id, provider, description, policy, tags, rotation_period_in_days: 180 });
    t.equal(lines[0]?.policy, null, 'a policy that nobody declared is not declared');
    t.same(
      (await exported('?tag=team:cards')).map(({ id }) => id),
      [whole.id],
    );
    t.same(
      (await exported('?state=pending_deletion')).map(({ id }) => id),
      [going.id],
    );
    t.equal((await call('GET', '/v1/keys/export?colour=red')).status, 400);
    const { token } = await addToken(call, { role: 'viewer', tags: { team: 'payments' } });
    t.same(
      (await exported('', callerWith(url, token))).map(({ id }) => id),
      [plain.id],
      'a limited caller gets what it may see',
    );
  });

  t.test('the same lines change nothing, planned or applied', async (t) => {
    const lines = await exported();
    await control.clear();
    const planned = await apply(lines, '?dry_run=true');
    t.same(outcomes(planned.results), ['unchanged', 'unchanged', 'unchanged']);
    t.match(planned.results[0]?.plan, { steps: [], changes: {} });
    t.same(outcomes((await apply(lines)).results), ['unchanged', 'unchanged', 'unchanged']);
    t.same(await control.calls({ reads: true }), [], 'nor is anything asked of KMS');
    t.match((await call('GET', `/v1/keys/${whole.id}`)).body.status, { generation: 1 });
  });

  t.test('a JSON array, as generated clients send a list, is as good as lines', async (t) => {
    const lines = await exported();
    t.same(outcomes((await apply(JSON.stringify(lines, null, 2))).results), ['unchanged', 'unchanged', 'unchanged']);
    const wrong = await apply(JSON.stringify([lines[0], { ...lines[1], no_such: 1 }]));
    t.equal(wrong.status, 422);
    t.match(wrong.problem.errors, [{ line: 2, pointer: '/no_such', code: 'unknown_field' }]);
    t.match((await apply('[{"id": 12345678901234567890}]')).problem.errors, [{ line: 1, pointer: '/id' }]);
    const ofNumber = JSON.stringify([{ id: whole.id, replica_of: 7 }]);
    t.match((await apply(ofNumber)).problem.errors, [{ line: 1, pointer: '/replica_of', code: 'invalid_type' }]);
    t.equal((await apply('[]')).status, 400);
    t.equal((await apply('[{}')).status, 400);
    t.equal((await apply(`[${' '.repeat(600_000)}]`)).status, 413);
  });

  t.test('a line is a PUT: it makes a key under its id, and makes one that is there exactly this', async (t) => {
    const id = randomUUID();
    const lines = [
      { id, description: 'by hand', tags: { team: 'payments' } },
      { ...(await exported())[0], description: 'changed' },
    ];
    const before = (await allKeyIds(kms)).length;
    const { results: plans } = await apply(lines, '?dry_run=true');
    t.match(plans, [
      { line: 1, id, outcome: 'created', generation: null, plan: { steps: [{ operation: 'CreateKey' }] } },
      { line: 2, outcome: 'updated', plan: { steps: [{ operation: 'UpdateKeyDescription' }] } },
    ]);
    t.equal((await call('GET', `/v1/keys/${id}`)).status, 404, 'a plan records nothing');
    const { status, results } = await apply(lines);
    t.equal(status, 200);
    t.match(results, [
      { line: 1, id, outcome: 'created', pending: false, generation: 1, state: 'in_sync' },
      { line: 2, id: plain.id, outcome: 'updated', pending: false, generation: 2, state: 'in_sync' },
    ]);
    t.same(outcomes((await apply(lines)).results), ['unchanged', 'unchanged']);
    t.equal((await allKeyIds(kms)).length, before + 1);
    t.match(await tags(kms, results[0]?.arn ?? ''), { 'keyward:id': id, team: 'payments' });
  });

  t.test('rules are checked of all lines before anything is done', async (t) => {
    const fresh = randomUUID();
    const { status, problem } = await apply(
      [
        `{"id":"${fresh}","description":"right"}`,
        '',
        `{"id":"${randomUUID()}","deletion_window_in_days":3,"colour":1}`,
        JSON.stringify({ ...(await exported())[1], multi_region: false, provider: 'default' }),
        `{"id":"${fresh}"}`,
        `{"id":"mine"}`,
        `{"id":"${randomUUID()}","provider":"nowhere"}`,
        `{"id":"${randomUUID()}","key_id":"alias/x"}`,
        `{"id":"${randomUUID()}","key_id":"${plain.key_id}","arn":"${signing.arn}"}`,
      ].join('\r\n'),
    );
    t.equal(status, 422);
    const told = problem.errors?.map((error) => `${(error as { line?: number }).line} ${error.pointer} ${error.code}`);
    t.same(told, [
      '3 /colour unknown_field',
      '3 /deletion_window_in_days out_of_range',
      '6 /id invalid_format',
      '8 /key_id invalid_format',
      '9 /key_id incompatible',
    ]);
    const later = await apply([
      { id: fresh, description: 'right' },
      { ...(await exported())[1], multi_region: false, provider: 'default' },
      { id: fresh },
      { id: randomUUID(), provider: 'nowhere' },
      { id: randomUUID(), enable_key_rotation: true, customer_master_key_spec: 'RSA_2048', key_usage: 'SIGN_VERIFY' },
    ]);
    const rules = later.problem.errors?.map((error) => `${(error as { line?: number }).line} ${error.pointer}`).sort();
    t.same(rules, ['2 /multi_region', '2 /provider', '3 /id', '4 /provider', '5 /enable_key_rotation']);
    t.equal((await call('GET', `/v1/keys/${fresh}`)).status, 404, 'nothing was done');
  });

  t.test('bodies that are no lines', async (t) => {
    const broken = await apply('\uFEFF{"id":"1","id":"2"}\nnonsense\n{"n":12345678901234567890}\n');
    t.equal(broken.status, 422);
    t.match(broken.problem.errors, [
      { line: 1, pointer: '/id', code: 'duplicate_member' },
      { line: 2, pointer: '', code: 'invalid_format' },
      { line: 3, pointer: '/n', code: 'inexact_number' },
    ]);
    for (const [body, status] of [
      ['', 400],
      ['\n \r\n', 400],
      ['[\n{}\n]', 422],
      [`{"id":"${randomUUID()}","description":"${'x'.repeat(600_000)}"}`, 422],
      ['\n'.repeat(5001), 413],
      ['x'.repeat(17 * 1024 * 1024), 413],
    ] as const) {
      t.equal((await apply(body)).status, status, `${body.slice(0, 10)}…`);
    }
    t.match(await apply('{}', '?dry_run=yes'), { status: 400, problem: { errors: [{ parameter: 'dry_run' }] } });
    t.equal((await apply('{}', '', { 'idempotency-key': 'x'.repeat(300) })).status, 400);
    const asJson = await call<Problem>('POST', '/v1/keys/apply', {});
    t.match(asJson, { status: 415, body: { detail: /application\/x-ndjson is right/ } });
  });

  t.test("what one line can't have is told of that line, and the others go on", async (t) => {
    const lines = await exported();
    const gone = '1234abcd-12ab-34cd-56ef-1234567890ab';
    const ids = Array.from({ length: 4 }, () => randomUUID());
    const before = (await allKeyIds(kms)).length;
    const wanted = [
      { ...lines[0], description: 'goes on' },
      { ...lines[1], arn: null, key_id: gone },
      { id: going.id, description: 'restored?' },
      { id: ids[0], key_id: gone },
      { id: ids[1], key_id: signing.key_id },
      { id: ids[2], arn: whole.arn, key_id: whole.key_id },
    ];
    for (const query of ['?dry_run=true', '']) {
      const { results } = await apply(wanted, query);
      t.match(results, [
        { outcome: 'updated' },
        { outcome: 'failed', problem: { status: 409, detail: /names 1234abcd/ } },
        { outcome: 'failed', problem: { status: 409, detail: /pending deletion/ } },
        { outcome: 'failed', problem: { status: 404 } },
        { outcome: 'failed', problem: { status: 409, id: signing.id } },
        { outcome: 'failed', problem: { status: 422, errors: [{ pointer: '/key_id', detail: /eu-west-1/ }] } },
      ]);
    }
    t.equal((await allKeyIds(kms)).length, before, 'no KMS key is made in place of one that is gone');
  });

  t.test('rights hold for each line, and a refusal is on record', async (t) => {
    const { token, name } = await addToken(call, { role: 'editor', tags: { team: 'payments' } });
    const [line = { id: '' }, other = { id: '' }] = await exported();
    const { results } = await applier(callerWith(url, token))([
      { ...line, description: 'own' },
      { ...other, description: 'of another team' },
      { id: randomUUID(), tags: { team: 'cards' } },
      { id: randomUUID(), tags: { team: 'payments' } },
    ]);
    t.match(results, [
      { outcome: 'updated' },
      { outcome: 'failed', problem: { status: 404 } },
      { outcome: 'failed', problem: { status: 403 } },
      { outcome: 'created' },
    ]);
    const path = '/v1/events?type=access.refused';
    const { body } = await call<{ items: { actor: string; data: object }[] }>('GET', path);
    t.match(body.items[0], { actor: `token:${name}`, data: { operation: 'applyKeys', status: 403 } });
  });

  t.test('Idempotency-Key: a repeat gets the first answer; Prefer: what is not waited for is recorded', async (t) => {
    const lines = [{ id: randomUUID() }, { id: randomUUID() }];
    const headers = { 'idempotency-key': randomUUID(), prefer: 'respond-async' };
    await control.settings(tooSlow);
    const first = await apply(lines, '', headers);
    await control.settings({ latency_milliseconds: 0 });
    t.match(first.results, [
      { outcome: 'created', pending: true },
      { outcome: 'created', pending: true },
    ]);
    const again = await apply(lines, '', headers);
    t.equal(again.body, first.body);
    t.equal(again.headers.get('idempotent-replayed'), 'true');
    t.equal((await apply([{ id: randomUUID() }], '', headers)).status, 422, 'for other lines it is used up');
    for (const { id } of lines) {
      await eventually('it is made', async () => (await call('GET', `/v1/keys/${id}`)).body.status.state === 'in_sync');
    }
  });

  t.test('an empty installation with the same KMS: the same keys, and nothing in KMS is written', async (t) => {
    const others = await startService(t, { KMS_ENDPOINT: kmsUrl, DATABASE_URL: await newDatabase(t) });
    await others.call('POST', '/v1/providers', { name: 'eu', region: 'eu-west-1', default_tags: { env: 'prod' } });
    const lines = await exported();
    const applyThere = applier(others.call);
    await control.clear();
    const { results: plans } = await applyThere(lines, '?dry_run=true');
    t.same(new Set(outcomes(plans)), new Set(['imported']));
    t.ok(plans.every(({ plan }) => plan?.steps.length === 0 && plan.drift.length === 0));
    const { results } = await applyThere(lines);
    t.ok(results.every(({ outcome, state }) => outcome === 'imported' && state === 'in_sync'));
    t.same(await control.calls(), [], 'not even the ownership tags, which are there');
    const { body } = await others.call<string>('GET', '/v1/keys/export');
    const byId = (all: KeyDeclaration[]) => all.toSorted((one, other) => one.id.localeCompare(other.id));
    t.same(byId(linesIn<KeyDeclaration>(body)), byId(lines));
    t.same(new Set(outcomes((await applyThere(lines)).results)), new Set(['unchanged']));
    const { body: changed } = await others.call('PATCH', `/v1/keys/${plain.id}`, { description: 'moved' });
    t.match(changed, { description: 'moved', key_id: plain.key_id, status: { state: 'in_sync' } });
    await others.call('PATCH', `/v1/keys/${plain.id}`, { description: 'own' });
  });

  t.test('what KMS has otherwise is drift after an import, and the drift policy has its way', async (t) => {
    const lines = (await exported()).filter(({ id }) => id === plain.id || id === signing.id);
    const [ofPlain = { id: '' }, ofSigning = { id: '' }] = lines;
    await call('POST', '/v1/keys/release', { ids: lines.map(({ id }) => id) });
    await kms.send(new UpdateKeyDescriptionCommand({ KeyId: plain.key_id ?? '', Description: 'meanwhile' }));
    const wanted = [
      { ...ofPlain, drift_policy: 'report' },
      { ...ofSigning, customer_master_key_spec: 'ECC_NIST_P384' },
    ];
    const { results: plans } = await apply(wanted, '?dry_run=true');
    t.match(plans[0], {
      outcome: 'imported',
      plan: { steps: [{ operation: 'TagResource' }], drift: [{ field: 'description', observed: 'meanwhile' }] },
    });
    await control.clear();
    const { results } = await apply(wanted);
    t.match(results[0], { outcome: 'imported', arn: plain.arn, state: 'drifted' });
    t.match(results[1], {
      outcome: 'failed',
      problem: { status: 422, errors: [{ pointer: '/customer_master_key_spec', code: 'immutable' }] },
    });
    t.same(
      (await control.calls()).map(({ operation, parameters }) => [operation, parameters['Tags']]),
      [['TagResource', [{ TagKey: 'keyward:id', TagValue: plain.id }]]],
    );
    const enforcing = await apply([{ ...ofPlain, drift_policy: 'enforce' }]);
    t.match(enforcing.results, [{ outcome: 'updated', state: 'in_sync' }]);
    const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId: plain.key_id ?? '' }));
    t.equal(KeyMetadata?.Description, ofPlain.description);
    t.match((await apply([ofSigning])).results, [{ outcome: 'imported' }], 'released and taken back, under its id');
  });

  t.test('a KMS key that carries another id, or is about to go, is not taken', async (t) => {
    const id = randomUUID();
    await services.database.pool.query('DELETE FROM keys WHERE id = $1', [signing.id]);
    const line = { id, key_id: signing.key_id, key_usage: 'SIGN_VERIFY', customer_master_key_spec: 'ECC_NIST_P256' };
    t.match((await apply([line])).results, [{ outcome: 'failed', problem: { status: 409, detail: /ownership tag/ } }]);
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: signing.key_id ?? '' }));
    t.match((await apply([{ ...line, id: signing.id }])).results, [
      { outcome: 'failed', problem: { status: 422, errors: [{ detail: /pending deletion/ }] } },
    ]);
  });

  t.test(
    'a line that names a KMS key makes none and changes no other, whatever its record becomes meanwhile',
    async (t) => {
      const [kept, replaced, gone] = [await make({}), await make({}), await make({})];
      const { KeyMetadata: found } = await kms.send(new CreateKeyCommand({}));
      const taken = randomUUID();
      const named = ({ id, arn, key_id }: typeof kept) => ({ id, arn, key_id, description: 'from a line' });
      const slow = await Promise.all(Array.from({ length: 8 }, () => make({})));
      await control.fault({ kind: 'internal_error', operation: 'UpdateKeyDescription', times: null });
      const applying = apply([
        ...slow.map(named),
        { id: taken, key_id: found?.KeyId, description: 'from a line' },
        ...[kept, replaced, gone].map(named),
      ]);
      await eventually('the lines before are under way', async () => {
        const { body } = await control.faults();
        return body.faults.some(({ fired }) => fired >= slow.length);
      });
      t.equal((await call('PUT', `/v1/keys/${taken}`, { description: 'made by somebody else' })).status, 201);
      t.equal((await call('POST', `/v1/keys/${replaced.id}/replace`, { multi_region: true })).status, 200);
      await call('POST', `/v1/keys/${gone.id}/release`);
      await eventually('it is released', async () => (await call('GET', `/v1/keys/${gone.id}`)).status === 404);
      const before = (await allKeyIds(kms)).length;
      await control.clearFaults();
      const { results } = await applying;
      t.match(results.slice(slow.length), [
        { id: taken, outcome: 'failed', problem: { status: 409, detail: /The line names/ } },
        { id: kept.id, outcome: 'updated' },
        { id: replaced.id, outcome: 'failed', problem: { status: 409, detail: /The line names/ } },
        { id: gone.id, outcome: 'failed', problem: { status: 404 } },
      ]);
      t.equal((await allKeyIds(kms)).length, before);
      t.match((await call('GET', `/v1/keys/${taken}`)).body, { description: 'made by somebody else' });
      t.match((await call('GET', `/v1/keys/${replaced.id}`)).body, { description: '', status: { generation: 2 } });
    },
  );

  t.test('POST /v1/keys/release', async (t) => {
    const own = await make({ tags: { team: 'payments' } });
    const other = await make({ tags: { team: 'cards' } });
    const { token } = await addToken(call, { role: 'editor', tags: { team: 'payments' } });
    const ids = [own.id, other.id, 'none', own.id, going.id];
    const { body } = await callerWith(url, token)<KeyReleased>('POST', '/v1/keys/release', { ids });
    t.match(body.items, [
      { id: own.id, outcome: 'released', pending: false },
      { id: other.id, outcome: 'failed', problem: { status: 404 } },
      { id: 'none', outcome: 'failed', problem: { status: 404 } },
      { id: going.id, outcome: 'failed', problem: { status: 404 } },
    ]);
    t.same(await tags(kms, own.key_id ?? ''), { team: 'payments' });
    await control.settings(tooSlow);
    const later = await call<KeyReleased>('POST', '/v1/keys/release', { ids: [other.id] }, { prefer: 'respond-async' });
    await control.settings({ latency_milliseconds: 0 });
    t.match(later.body.items, [{ outcome: 'released', pending: true }]);
    await eventually('it goes', async () => (await call('GET', `/v1/keys/${other.id}`)).status === 404);
    for (const wrong of [{}, { ids: [] }, { ids: [1] }, { ids: Array(1001).fill('x') }]) {
      t.equal((await call('POST', '/v1/keys/release', wrong)).status, 422);
    }
  });
});
