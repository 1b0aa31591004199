/** Changes that, together, come by every failure point. */
import { isDeepStrictEqual } from 'node:util';
import { CreateGrantCommand, CreateKeyCommand, type KMSClient, UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import type { FailurePoint } from '../../src/services/failure-points.ts';
import { ownPolicy } from './kms-truth.ts';
import { type Call, eventually, type kmsControl } from './service.ts';

/** What a scenario works with. `fault` befalls the next call of an operation. */
export type Stage = { call: Call; kms: KMSClient; control: ReturnType<typeof kmsControl> };

export type Scenario = {
  name: string;
  /** Points at which a kill in this scenario is worth its time: the others are the same in a simpler one. */
  points: FailurePoint[];
  /** At which pass of a point the process is killed; 1, the first, where undefined. */
  pass?: number;
  /** Before the point is armed. @returns the path of the key, where one is made. */
  prepare?: (stage: Stage) => Promise<string>;
  /** What befalls the database after that. The change waits until every key was compared with KMS. */
  database?: string;
  /** The change. */
  act: (stage: Stage, key: string) => Promise<unknown>;
  /** Whether the change must have an effect although the answer was lost at the very first point. */
  wanted: (row: Record<string, unknown> | undefined) => boolean;
};

const path = (key: { id: string }) => `/v1/keys/${key.id}`;
const create = async ({ call }: Stage, body: object = {}) => path((await call('POST', '/v1/keys', body)).body);
const lockedOut = { ...ownPolicy('x'), Statement: [{ ...ownPolicy('x').Statement[0], Action: 'kms:Decrypt' }] };
const declared = { description: 'made', tags: { a: '1' }, enable_key_rotation: true, is_enabled: false };
const update = { description: 'new', tags: { a: '2', b: '3' }, policy: ownPolicy('New') };
const ecc = { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' };
const disabled = { description: 'made', is_enabled: false };
/** What became of the last write is recorded with the end of the sync. */
const ofOneWrite: FailurePoint[] = [
  'intent-recorded',
  'lease-taken',
  'writes-recorded',
  'before-send',
  'after-send',
  'sync-recorded',
];

/** A provider for a Region that keys can be replicated to. */
async function providerElsewhere({ call }: Stage): Promise<string> {
  await call('POST', '/v1/providers', { name: 'eu', region: 'eu-west-1' });
  return '';
}

const together = { multi_region: true, enable_key_rotation: true, replicate_to: ['eu'] };
const isReplicaInSync: Scenario['wanted'] = (row) => row?.['replica_of'] !== null && row?.['state'] === 'in_sync';
/** The id that a line gives to a replica, of that of its primary key. */
const idOfLine = (key: string) => (key.split('/').at(-1) ?? '').replace(/.{4}$/, 'abcd');

/** A multi-Region key, and a provider for a Region that it can be replicated to. */
async function primary(stage: Stage, body: object = {}): Promise<string> {
  await providerElsewhere(stage);
  return create(stage, { ...body, multi_region: true });
}

/** A key of which somebody else has changed the description. */
async function withDrift(stage: Stage, drift_policy: string): Promise<string> {
  const { body: key } = await stage.call('POST', '/v1/keys', { ...declared, drift_policy });
  await stage.kms.send(new UpdateKeyDescriptionCommand({ KeyId: key.key_id ?? '', Description: 'theirs' }));
  return path(key);
}

export const scenarios: Scenario[] = [
  {
    name: 'create',
    points: [...ofOneWrite, 'identity-recorded', 'write-closed'],
    act: (stage) => create(stage, declared),
    wanted: (row) => row?.['description'] === 'made' && row['state'] === 'in_sync',
  },
  {
    name: 'create whose answer is lost',
    points: ['write-failed', 'retry-recorded', 'search-done'],
    act: async (stage) => {
      await stage.control.fault({ operation: 'CreateKey', kind: 'reset_after_effect' });
      return create(stage, declared);
    },
    wanted: (row) => row?.['description'] === 'made' && row['state'] === 'in_sync',
  },
  {
    name: 'create that does not reach KMS',
    points: ['open-write-settled'],
    act: async (stage) => {
      await stage.control.fault({ operation: 'CreateKey', kind: 'reset_before_effect' });
      return create(stage, declared);
    },
    wanted: (row) => row?.['description'] === 'made' && row['state'] === 'in_sync',
  },
  {
    name: 'create that KMS refuses',
    points: ['refused-record-removed'],
    act: (stage) => create(stage, { policy: lockedOut }),
    wanted: (row) => row === undefined || row['state'] === 'failed',
  },
  {
    name: 'update',
    points: ofOneWrite,
    prepare: (stage) => create(stage, declared),
    act: ({ call }, key) => call('PATCH', key, update),
    wanted: (row) => row?.['description'] === 'new' && row['generation'] === 2 && row['state'] === 'in_sync',
  },
  {
    name: 'update whose answer is lost',
    points: ['write-failed', 'retry-recorded'],
    prepare: (stage) => create(stage, declared),
    act: async ({ call, control }, key) => {
      await control.fault({ operation: 'PutKeyPolicy', kind: 'reset_after_effect' });
      return call('PATCH', key, update);
    },
    wanted: (row) => row?.['description'] === 'new' && row['generation'] === 2 && row['state'] === 'in_sync',
  },
  {
    name: 'update that KMS refuses',
    points: ['write-failed', 'write-closed', 'refusal-recorded'],
    prepare: (stage) => create(stage, declared),
    act: ({ call }, key) => call('PATCH', key, { ...update, policy: lockedOut }),
    wanted: (row) => row?.['description'] === 'made' && row['generation'] === 3 && row['state'] === 'in_sync',
  },
  {
    name: 'delete',
    points: ofOneWrite,
    prepare: (stage) => create(stage, declared),
    act: ({ call }, key) => call('DELETE', key),
    wanted: (row) => row?.['state'] === 'pending_deletion' && row['synced_generation'] === 2,
  },
  {
    name: 'restore',
    points: ['after-send', 'write-closed'],
    prepare: async (stage) => {
      const key = await create(stage, { ...declared, is_enabled: true });
      await stage.call('DELETE', key);
      return key;
    },
    act: ({ call }, key) => call('POST', `${key}/restore`),
    wanted: (row) => row?.['state'] === 'in_sync' && row['key_state'] === 'Enabled',
  },
  {
    name: 'rotation of a disabled key',
    points: ['after-send', 'write-closed'],
    prepare: (stage) => create(stage, disabled),
    act: ({ call }, key) => call('PATCH', key, { enable_key_rotation: true }),
    wanted: (row) =>
      row?.['state'] === 'in_sync' && row['key_state'] === 'Disabled' && row['enable_key_rotation'] === true,
  },
  {
    name: 'release',
    points: ['write-closed', 'removal-recorded'],
    prepare: (stage) => create(stage, declared),
    act: ({ call }, key) => call('POST', `${key}/release`),
    wanted: (row) => row === undefined,
  },
  {
    name: 'import',
    points: ['after-send'],
    prepare: async ({ kms }) => {
      const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'theirs' }));
      return KeyMetadata?.KeyId ?? '';
    },
    act: ({ call }, keyId) => call('POST', '/v1/keys/import', { key_id: keyId }),
    wanted: (row) => row?.['description'] === 'theirs' && row['state'] === 'in_sync',
  },
  {
    name: 'refresh',
    points: ['intent-recorded'],
    prepare: (stage) => create(stage, declared),
    act: ({ call }, key) => call('POST', `${key}/refresh`),
    wanted: (row) => row?.['state'] === 'in_sync',
  },
  {
    name: 'drift that is mended',
    points: ['intent-recorded'],
    prepare: (stage) => withDrift(stage, 'enforce'),
    act: ({ call }, key) => call('POST', `${key}/sync`),
    wanted: (row) => row?.['state'] === 'in_sync' && row['description'] === 'made' && row['generation'] === 1,
  },
  {
    name: 'drift that is adopted',
    points: ['intent-recorded'],
    prepare: (stage) => withDrift(stage, 'adopt'),
    // A look finds it, and the next one, by the clock, takes it over.
    act: async ({ call }, key) => {
      await call('POST', `${key}/refresh`);
      return eventually('it is adopted', async () => (await call('GET', key)).body.status.generation === 2);
    },
    wanted: (row) => row?.['state'] === 'in_sync' && row['description'] === 'theirs' && row['generation'] === 2,
  },
  {
    name: 'replace',
    points: ['replacement-begun', 'identity-recorded', 'sync-recorded', 'former-key-recorded'],
    prepare: (stage) => create(stage, disabled),
    act: ({ call }, key) => call('POST', `${key}/replace`, { ...ecc, description: 'new' }),
    wanted: (row) => row?.['description'] === 'new' && row['generation'] === 2 && row['state'] === 'in_sync',
  },
  {
    name: 'replace that KMS refuses when the new key is made',
    points: ['refusal-recorded'],
    prepare: (stage) => create(stage, disabled),
    act: async ({ call, control }, key) => {
      await control.fault({ operation: 'DisableKey', kind: 'error', type: 'ValidationException', times: null });
      return call('POST', `${key}/replace`, ecc);
    },
    wanted: (row) => row?.['key_usage'] === 'ENCRYPT_DECRYPT' && row['generation'] === 3 && row['state'] === 'in_sync',
  },
  {
    name: 'replace by a key that KMS refuses to make',
    points: [],
    prepare: (stage) => create(stage, disabled),
    act: ({ call }, key) => call('POST', `${key}/replace`, { ...ecc, policy: lockedOut }),
    wanted: (row) => row?.['key_usage'] === 'ENCRYPT_DECRYPT' && row['generation'] === 3 && row['state'] === 'in_sync',
  },
  {
    name: 'replace whose old key can not be deleted at once',
    points: ['former-key-recorded'],
    prepare: (stage) => create(stage, disabled),
    act: async ({ call, control }, key) => {
      await control.fault({ operation: 'ScheduleKeyDeletion', kind: 'reset_after_effect' });
      return call('POST', `${key}/replace`, ecc);
    },
    wanted: (row) => row?.['key_usage'] === 'SIGN_VERIFY' && row['generation'] === 2 && row['state'] === 'in_sync',
  },
  {
    name: 'recreate',
    points: ['replacement-begun'],
    prepare: async (stage) => {
      const { body } = await stage.call('POST', '/v1/keys', disabled);
      await stage.control.loseKey(body.arn);
      await eventually('KMS is known to have lost it', async () => {
        const { body: seen } = await stage.call('POST', `${path(body)}/refresh`);
        return seen.status.state === 'failed';
      });
      return path(body);
    },
    act: ({ call }, key) => call('POST', `${key}/recreate`),
    wanted: (row) => row?.['generation'] === 2 && row['state'] === 'in_sync',
  },
  {
    name: 'create with aliases',
    points: ['after-send', 'write-closed'],
    act: (stage) => create(stage, { ...declared, aliases: ['alias/1/one', 'alias/1/two'] }),
    wanted: (row) => row?.['description'] === 'made' && row['state'] === 'in_sync',
  },
  {
    name: 'aliases that are changed',
    points: ['before-send', 'after-send', 'write-closed'],
    prepare: (stage) => create(stage, { ...declared, aliases: ['alias/2/one', 'alias/2/two'] }),
    act: ({ call }, key) => call('PATCH', key, { aliases: ['alias/2/two', 'alias/2/three'] }),
    wanted: (row) => row?.['generation'] === 2 && row['state'] === 'in_sync',
  },
  {
    name: 'aliases that go along with a replacement',
    points: ['identity-recorded', 'before-send', 'after-send', 'write-closed', 'sync-recorded'],
    prepare: (stage) => create(stage, { aliases: ['alias/3/one', 'alias/3/two'] }),
    act: ({ call }, key) => call('POST', `${key}/replace`, { multi_region: true }),
    wanted: (row) => row?.['multi_region'] === true && row['generation'] === 2 && row['state'] === 'in_sync',
  },
  {
    name: 'an alias that is taken from another key',
    points: ['intent-recorded', 'before-send', 'after-send', 'sync-recorded'],
    prepare: async (stage) => {
      await create(stage, { description: 'loser', aliases: ['alias/4/one', 'alias/4/two'] });
      return create(stage, { description: 'taker' });
    },
    act: ({ call }, key) => call('PATCH', `${key}?take_aliases=true`, { aliases: ['alias/4/one'] }),
    wanted: (row) => {
      const aliases = row?.['description'] === 'taker' ? ['alias/4/one'] : ['alias/4/two'];
      return row?.['state'] === 'in_sync' && isDeepStrictEqual(row['aliases'], aliases);
    },
  },
  {
    name: 'a taken alias that goes back since KMS refuses the rest',
    points: ['refusal-recorded', 'after-send'],
    prepare: async (stage) => {
      await create(stage, { description: 'loser', aliases: ['alias/5/one', 'alias/5/two'] });
      return create(stage, { description: 'taker' });
    },
    act: async ({ call, control }, key) => {
      await control.fault({ operation: 'DisableKey', kind: 'error', type: 'ValidationException', message: 'no' });
      return call('PATCH', `${key}?take_aliases=true`, { aliases: ['alias/5/one'], is_enabled: false });
    },
    // Killed before that, the change is carried through: the refusal is told once.
    wanted: (row) => row?.['state'] === 'in_sync',
  },
  {
    name: 'rotate',
    points: ['errand-recorded', 'after-send', 'write-closed'],
    prepare: (stage) => create(stage),
    act: ({ call }, key) => call('POST', `${key}/rotate`),
    wanted: (row) => row?.['state'] === 'in_sync' && row['generation'] === 1,
  },
  {
    name: 'revoke a grant',
    points: ['errand-recorded', 'after-send', 'write-closed'],
    prepare: async (stage) => {
      const { body: key } = await stage.call('POST', '/v1/keys', {});
      const grant = { KeyId: key.key_id ?? '', GranteePrincipal: 'arn:aws:iam::111122223333:role/app' };
      await stage.kms.send(new CreateGrantCommand({ ...grant, Operations: ['Decrypt'] }));
      return path(key);
    },
    act: async ({ call }, key) => {
      const { body } = await call<{ items: { grant_id: string }[] }>('GET', `${key}/grants`);
      return call('POST', `${key}/grants/${body.items[0]?.grant_id}/revoke`);
    },
    wanted: (row) => row?.['state'] === 'in_sync' && row['generation'] === 1 && row['errands_open'] === false,
  },
  {
    name: 'replicate',
    points: ['before-send', 'after-send', 'identity-recorded'],
    prepare: (stage) => primary(stage),
    act: async ({ call }, key) => path((await call('POST', `${key}/replicas`, { provider: 'eu' })).body),
    wanted: isReplicaInSync,
  },
  {
    name: 'create with replicas',
    points: [...ofOneWrite, 'identity-recorded'],
    prepare: providerElsewhere,
    act: (stage) => create(stage, together),
    wanted: isReplicaInSync,
  },
  {
    name: 'create with replicas, when these are made',
    points: ['lease-taken', 'writes-recorded', 'before-send', 'after-send', 'identity-recorded', 'sync-recorded'],
    pass: 2,
    prepare: providerElsewhere,
    act: (stage) => create(stage, together),
    wanted: isReplicaInSync,
  },
  {
    name: 'apply of a line of a replica',
    points: ofOneWrite,
    prepare: (stage) => primary(stage),
    act: ({ call }, key) => {
      const line = { id: idOfLine(key), provider: 'eu', replica_of: key.split('/').at(-1), is_enabled: false };
      const headers = { 'content-type': 'application/x-ndjson', prefer: 'wait=30' };
      return call('POST', '/v1/keys/apply', JSON.stringify(line), headers);
    },
    wanted: isReplicaInSync,
  },
  {
    name: 'promote',
    points: ['after-send', 'roles-recorded'],
    prepare: async (stage) => {
      const key = await primary(stage, { enable_key_rotation: true });
      const { body } = await stage.call('POST', `${key}/replicas`, { provider: 'eu' }, { prefer: 'wait=60' });
      return path(body);
    },
    act: ({ call }, key) => call('POST', `${key}/promote`),
    wanted: (row) =>
      row?.['provider'] === 'eu' &&
      row['replica_of'] === null &&
      row['enable_key_rotation'] === true &&
      row['state'] === 'in_sync',
  },
  {
    name: "change of a provider's default tags",
    points: ['intent-recorded', 'keys-brought-along'],
    prepare: async (stage) => {
      await stage.call('POST', '/v1/providers', { name: 'tagging', region: 'us-east-1' });
      return create(stage, { provider: 'tagging' });
    },
    act: async ({ call }, key) => {
      await call('PATCH', '/v1/providers/tagging', { default_tags: { env: 'prod' } });
      return eventually('it has reached KMS', async () => (await call('GET', key)).body.status.state === 'in_sync');
    },
    wanted: (row) => {
      const tags = row?.['tags_all'] as Record<string, string> | undefined;
      return tags?.['env'] === 'prod' && row?.['state'] === 'in_sync' && row['default_tags_due'] === null;
    },
  },
];

/** As if the database were of before a failover. */
const failover = "UPDATE installation SET timeline = '000000FF'";

/** Of a database that is older than the world: whatever is in it is held, so that each of these needs one of its own. */
export const scenariosAfterGap: Scenario[] = (['declared', 'observed'] as const).map((as) => ({
  name: `resume as ${as} after a gap`,
  points: ['intent-recorded', 'lease-taken', 'sync-recorded'],
  prepare: (stage) => withDrift(stage, 'report'),
  database: failover,
  act: ({ call }) => call('POST', '/v1/recovery/resume', { keys: 'all', as }),
  wanted: (row) =>
    row?.['state'] === 'in_sync' &&
    row['description'] === (as === 'declared' ? 'made' : 'theirs') &&
    row['gap_seen'] !== 0,
}));
