/** What owners do: the operations of a run, by chance. */
import { CreateKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import { ownPolicy } from '../test/support/kms-truth.ts';
import { anyAliases, anyMove, type Move, moveOutside, queryOf } from './aliases.ts';
import type { Lab } from './lab.ts';
import type { Ledger } from './ledger.ts';
import type { Kind, Mix } from './mix.ts';
import { arnIn, home, keyIdOf } from './places.ts';
import type { Random } from './random.ts';
import { accept, send } from './requests.ts';
import { heldKey } from './truth.ts';

/** What only a replacement can change. */
const immutable: readonly [object, ...object[]] = [
  { customer_master_key_spec: 'SYMMETRIC_DEFAULT', key_usage: 'ENCRYPT_DECRYPT', enable_key_rotation: true },
  { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY', enable_key_rotation: false },
  { customer_master_key_spec: 'HMAC_256', key_usage: 'GENERATE_VERIFY_MAC', enable_key_rotation: false },
];

/** kind: whether it is a disturbance as well, and of which kind. */
export type Operation = { name: string; at: number; kind?: Kind; run(url: string): Promise<void> };

type Choices = {
  is_enabled: boolean;
  withPolicy: boolean;
  arguments: object;
  aliases: string[];
  query: string;
  move: Move;
};
type World = { kms: KMSClient; control: Lab['control']; mix: Mix; ledger: Ledger; ids: string[]; mark: string };

/** Some operations for one run, on its own new keys and on some older ones. */
export async function planOperations(random: Random, world: World): Promise<Operation[]> {
  const plain = { description: world.mark, tags: { run: world.mark }, enable_key_rotation: random.chance(0.3) };
  const created = random.chance(0.4) ? { ...plain, aliases: anyAliases(random) } : plain;
  const operations: Operation[] = [];
  const add = (name: string, run: (url: string, name: string) => Promise<void>, kind?: Kind) => {
    const at = random.between(0, 900);
    const unique = `${name} ${operations.length}`;
    operations.push({ name: unique, at, ...(kind && { kind }), run: (url) => run(url, unique) });
  };
  for (let count = random.between(1, 3); count > 0; count -= 1) add('create', (url) => create(world, url, created));
  // Often all changes are of one key: a worker that falls behind then has newer work to spoil.
  const contended = random.chance(0.4) && world.ids.length > 0 ? random.pick(world.ids as [string, ...string[]]) : null;
  for (let count = random.between(contended === null ? 1 : 2, 4); count > 0 && world.ids.length > 0; count -= 1) {
    const id = contended ?? random.pick(world.ids as [string, ...string[]]);
    const kind = random.pick([
      'update',
      'update',
      'update',
      'update',
      'refused',
      'delete',
      'restore',
      'release',
      'sync',
      'replace',
      'replace',
      'refused replace',
      'lose and recreate',
      'rotate',
      'rotate',
      'aliases',
      'aliases',
      'move an alias',
    ]);
    const aliases = { aliases: anyAliases(random), query: queryOf(random), move: anyMove(random) };
    const body = {
      ...aliases,
      is_enabled: random.chance(0.7),
      withPolicy: random.chance(0.4),
      arguments: random.pick(immutable),
    };
    add(kind, (url, name) => change(world, url, id, kind, `${world.mark} ${name}`, body));
  }
  if (random.chance(0.25)) {
    const keyId = await foreignKey(world);
    add('import', (url) => importKey(world, keyId, url));
  }
  if (world.mix.has('states', random, 0.12)) {
    const keyId = await foreignKey(world);
    const state = random.pick(['Updating', 'Unavailable', 'PendingImport']);
    const importMeanwhile = async (url: string) => {
      await world.control.settings({ key_states: [{ key_id: keyId, state, seconds: 0.5 }] });
      await importKey(world, keyId, url);
    };
    add(`import while KMS tells that the key is ${state}`, importMeanwhile, 'states');
  }
  return operations;
}

async function create(world: World, url: string, body: object): Promise<void> {
  const answer = await send(url, 'POST', '/v1/keys?take_aliases=true', body);
  if (answer?.body.id === undefined || answer.status >= 300) return;
  world.ids.push(answer.body.id);
  accept(world, answer, 'create', world.mark);
}

async function change(
  world: World,
  url: string,
  id: string,
  kind: string,
  mark: string,
  { is_enabled, withPolicy, arguments: other, aliases, query, move }: Choices,
): Promise<void> {
  const path = `/v1/keys/${id}`;
  world.ledger.asked.push({ id, asked: new Date() });
  const desired = { description: mark, is_enabled, tags: { run: mark.replaceAll(/[^\w. ]/g, '') } };
  switch (kind) {
    case 'update': {
      const policy = withPolicy ? { policy: policyOf(mark.replaceAll(/\W/g, '')) } : {};
      return accept(world, await send(url, 'PATCH', path, { ...desired, ...policy }), kind, mark);
    }
    case 'refused':
      return accept(world, await send(url, 'PATCH', path, { ...desired, policy: lockedOut() }), kind, mark);
    case 'replace':
      return accept(world, await send(url, 'POST', `${path}/replace`, { ...desired, ...other }), kind, mark);
    case 'refused replace': {
      const body = { ...desired, ...other, policy: lockedOut() };
      return accept(world, await send(url, 'POST', `${path}/replace`, body), kind, mark);
    }
    case 'aliases':
      return accept(world, await send(url, 'PATCH', path + query, { ...desired, aliases }), kind, mark);
    case 'move an alias':
      return moveAndSync(world, url, path, move);
    case 'lose and recreate':
      return loseAndRecreate(world, url, path);
    case 'rotate': {
      const answer = await send(url, 'POST', `${path}/rotate`);
      if (answer !== null && answer.status < 300) {
        world.ledger.rotations.push({ id, asked: answer.asked });
      }
      return;
    }
    case 'delete':
      return accept(world, await send(url, 'DELETE', path), kind, null);
    case 'release':
      return accept(world, await send(url, 'POST', `${path}/release`), kind, null);
    case 'restore':
      return accept(world, await send(url, 'POST', `${path}/restore`), kind, null);
    default:
      await send(url, 'POST', `${path}/sync`);
  }
}

/** With principals and a condition that a KMS may show otherwise. */
function policyOf(sid: string) {
  const own = ownPolicy(sid);
  const app = {
    Effect: 'Allow',
    Principal: {
      AWS: ['arn:aws:iam::111122223333:role/app', 'arn:aws:sts::111122223333:assumed-role/other/session'],
    },
    Action: ['kms:Decrypt'],
    Resource: '*',
    Condition: { NumericLessThan: { 'aws:MultiFactorAuthAge': 300 } },
  };
  return { ...own, Statement: [...own.Statement, app] };
}

function lockedOut() {
  const [statement] = ownPolicy('x').Statement;
  return { Version: '2012-10-17', Statement: [{ ...statement, Action: 'kms:Decrypt' }] };
}

/** Somebody moves an alias, and whoever declares it has it back. */
async function moveAndSync(world: World, url: string, path: string, move: Move): Promise<void> {
  const { arn } = (await send(url, 'GET', path))?.body ?? {};
  if (typeof arn !== 'string') return;
  await moveOutside(world.kms, world.ledger, move, keyIdOf(arn));
  const found = await send<{ items: { id: string }[] }>(url, 'GET', `/v1/keys?alias=${encodeURIComponent(move.name)}`);
  for (const { id } of found?.body.items ?? []) {
    const synced = await send(url, 'POST', `/v1/keys/${id}/sync`);
    if (synced?.status === 200) world.ledger.movedAliases.delete(move.name);
  }
}

/** Somebody makes away with a key, whatever is going on with it, and the owner wants another in its place. */
async function loseAndRecreate(world: World, url: string, path: string): Promise<void> {
  const { arn } = (await send(url, 'GET', path))?.body ?? {};
  if (typeof arn !== 'string') return;
  world.ledger.lost.add(keyIdOf(arn));
  world.ledger.outsiders.delete(arn);
  await world.control.loseKey(arn);
  await send(url, 'POST', `${path}/refresh`);
  accept(world, await send(url, 'POST', `${path}/recreate`), 'recreate', null);
}

/** A key that somebody makes without Keyward. */
async function foreignKey({ kms, ledger, mark }: World): Promise<string> {
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: `${mark} theirs` }));
  const keyId = KeyMetadata?.KeyId ?? '';
  ledger.outsiders.set(arnIn(home, keyId), await heldKey(kms, keyId));
  return keyId;
}

async function importKey({ ids }: World, keyId: string, url: string): Promise<void> {
  const answer = await send(url, 'POST', '/v1/keys/import', { key_id: keyId });
  if (answer?.body.id !== undefined && answer.status < 300) ids.push(answer.body.id);
}
