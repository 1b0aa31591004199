/** Grants: what KMS holds of them, and what the service tells and does. */
import assert from 'node:assert/strict';
import {
  CreateGrantCommand,
  type CreateGrantCommandInput,
  type GrantListEntry,
  type KMSClient,
  ListGrantsCommand,
  ListRetirableGrantsCommand,
  RetireGrantCommand,
  RevokeGrantCommand,
} from '@aws-sdk/client-kms';
import { create, createInKms, problemOf, type Scenario } from './scenario.ts';

type Filters = { GrantId?: string; GranteePrincipal?: string; Limit?: number };

/** By pages. */
async function pagesOf(kms: KMSClient, KeyId: string, filters: Filters = {}): Promise<GrantListEntry[][]> {
  const pages: GrantListEntry[][] = [];
  for (let marker: string | undefined; ; ) {
    const input = { KeyId, ...filters, ...(marker === undefined ? {} : { Marker: marker }) };
    const page = await kms.send(new ListGrantsCommand(input));
    pages.push(page.Grants ?? []);
    if (!page.Truncated) return pages;
    marker = page.NextMarker;
  }
}

const idsOf = async (kms: KMSClient, KeyId: string, filters: Filters = {}) =>
  (await pagesOf(kms, KeyId, filters)).flat().map(({ GrantId }) => GrantId ?? '');

const roleOf = (account: string, name = 'app') => `arn:aws:iam::${account}:role/${name}`;

async function give(kms: KMSClient, KeyId: string, input: Partial<CreateGrantCommandInput>): Promise<string> {
  const given = { KeyId, GranteePrincipal: undefined, Operations: ['Decrypt' as const], ...input };
  return (await kms.send(new CreateGrantCommand(given))).GrantId ?? '';
}

export const grantScenarios: Scenario[] = [
  {
    name: 'grants: made, listed, retired by token and revoked by id',
    run: async ({ kms }) => {
      const { KeyId, Arn, account } = await createInKms(kms);
      const GranteePrincipal = `arn:aws:iam::${account}:role/app`;
      const input = { KeyId, GranteePrincipal, Operations: ['Decrypt' as const], Name: 'facts' };
      const first = await kms.send(new CreateGrantCommand(input));
      assert.equal((await kms.send(new CreateGrantCommand(input))).GrantId, first.GrantId);
      const second = await kms.send(new CreateGrantCommand({ ...input, Name: 'other' }));
      const list = async () => (await kms.send(new ListGrantsCommand({ KeyId }))).Grants ?? [];
      const found = (await list()).find(({ GrantId }) => GrantId === first.GrantId);
      assert.equal(found?.KeyId, Arn);
      assert.deepEqual(
        [found?.Name, found?.GranteePrincipal, found?.Operations],
        ['facts', GranteePrincipal, ['Decrypt']],
      );
      await kms.send(new RetireGrantCommand({ GrantToken: first.GrantToken }));
      await kms.send(new RevokeGrantCommand({ KeyId, GrantId: second.GrantId }));
      assert.deepEqual(await list(), []);
    },
  },
  {
    name: 'grants: what the key can not do is not granted',
    run: async ({ kms }) => {
      const { KeyId, account } = await createInKms(kms);
      const GranteePrincipal = `arn:aws:iam::${account}:role/app`;
      const grant = new CreateGrantCommand({ KeyId, GranteePrincipal, Operations: ['Sign'] });
      await assert.rejects(kms.send(grant), { name: 'ValidationException' });
    },
  },
  {
    name: 'grants: lists have pages and filters',
    run: async ({ kms }) => {
      const { KeyId, account } = await createInKms(kms);
      const [app, other] = [roleOf(account), roleOf(account, 'other')];
      const first = await give(kms, KeyId, { GranteePrincipal: app });
      const second = await give(kms, KeyId, { GranteePrincipal: other });
      const third = await give(kms, KeyId, { GranteePrincipal: other });
      assert.deepEqual(await idsOf(kms, KeyId, { GrantId: first }), [first]);
      assert.deepEqual((await idsOf(kms, KeyId, { GranteePrincipal: other })).sort(), [second, third].sort());
      const pages = await pagesOf(kms, KeyId, { Limit: 2 });
      assert.ok(pages.length > 1 && pages.every((page) => page.length <= 2));
      assert.deepEqual((await idsOf(kms, KeyId, { Limit: 2 })).sort(), [first, second, third].sort());
    },
  },
  {
    name: 'grants: one is retired by its key and id',
    run: async ({ kms }) => {
      const { KeyId, Arn, account } = await createInKms(kms);
      const GrantId = await give(kms, KeyId, { GranteePrincipal: roleOf(account) });
      await kms.send(new RetireGrantCommand({ KeyId: Arn, GrantId }));
      assert.deepEqual(await idsOf(kms, KeyId), []);
    },
  },
  {
    name: 'grants: one that is gone is not found',
    run: async ({ kms }) => {
      const { KeyId, Arn, account } = await createInKms(kms);
      const GrantId = await give(kms, KeyId, { GranteePrincipal: roleOf(account) });
      await kms.send(new RevokeGrantCommand({ KeyId, GrantId }));
      const missing = { name: 'NotFoundException' };
      await assert.rejects(kms.send(new RevokeGrantCommand({ KeyId, GrantId })), missing);
      await assert.rejects(kms.send(new RetireGrantCommand({ KeyId: Arn, GrantId })), missing);
    },
  },
  {
    name: 'grants: who may retire some sees them, over all keys',
    run: async ({ kms }) => {
      const [{ KeyId, account }, other] = [await createInKms(kms), await createInKms(kms)];
      const RetiringPrincipal = roleOf(account, `retires-${KeyId}`);
      const wanted: string[] = [];
      for (const id of [KeyId, other.KeyId]) {
        wanted.push(await give(kms, id, { GranteePrincipal: roleOf(account), RetiringPrincipal }));
        await give(kms, id, { GranteePrincipal: roleOf(account) });
      }
      const { Grants = [] } = await kms.send(new ListRetirableGrantsCommand({ RetiringPrincipal }));
      assert.deepEqual(Grants.map(({ GrantId }) => GrantId).sort(), wanted.sort());
    },
  },
  {
    name: 'grants: Keyward lists, revokes and retires them',
    run: async (context) => {
      const { call, kms } = context;
      const { id, key_id, arn } = await create(context);
      const GranteePrincipal = roleOf(arn.split(':')[4] ?? '');
      for (const how of ['revoke', 'retire']) {
        const grant = await give(kms, key_id, { GranteePrincipal, Name: how });
        const { body } = await call<{ items: object[] }>('GET', `/v1/keys/${id}/grants`);
        assert.equal(body.items.length, 1);
        assert.partialDeepStrictEqual(body.items[0], {
          grant_id: grant,
          grantee_principal: GranteePrincipal,
          name: how,
        });
        const answer = await call('POST', `/v1/keys/${id}/grants/${grant}/${how}`);
        assert.equal(answer.status, 200, JSON.stringify(answer.body));
        assert.deepEqual(await idsOf(kms, key_id), []);
      }
    },
  },
  {
    name: 'grants: Keyward says of one that is gone that there is none',
    run: async (context) => {
      const { call, kms } = context;
      const { id, key_id, arn } = await create(context);
      const grant = await give(kms, key_id, { GranteePrincipal: roleOf(arn.split(':')[4] ?? '') });
      await kms.send(new RevokeGrantCommand({ KeyId: key_id, GrantId: grant }));
      for (const how of ['revoke', 'retire']) {
        const answer = await call('POST', `/v1/keys/${id}/grants/${grant}/${how}`);
        assert.equal(answer.status, 404, JSON.stringify(problemOf(answer)));
      }
    },
  },
];
