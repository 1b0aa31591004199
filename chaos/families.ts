/** Families of multi-Region keys: what their owners do, in Regions where no other keys are, and what somebody else does in KMS. */
import { randomUUID } from 'node:crypto';
import { CreateKeyCommand, ReplicateKeyCommand, UpdatePrimaryRegionCommand } from '@aws-sdk/client-kms';
import { allKeyIds, metadata } from '../test/support/kms-truth.ts';
import { anyAliases } from './aliases.ts';
import type { Lab } from './lab.ts';
import type { Ledger } from './ledger.ts';
import type { Mix } from './mix.ts';
import type { Operation } from './operations.ts';
import { arnIn, familyPlaces, keyIdOf, regionOf } from './places.ts';
import type { Random } from './random.ts';
import { accept, send } from './requests.ts';
import { heldKey } from './truth.ts';

type World = { lab: Lab; mix: Mix; ledger: Ledger; members: string[] };
type Place = keyof typeof familyPlaces;

const places = Object.keys(familyPlaces) as [Place, ...Place[]];

const lostAnswers = ['reset_after_effect', 'no_answer_after_effect', 'reset_before_effect', 'truncated'] as const;

/** What befalls a member. Few do without their family for long: deletions and releases are seldom. */
const kinds = [
  ...['update', 'update', 'update', 'rotation', 'rotation', 'aliases', 'replicate', 'replicate', 'replicate'],
  ...['promote', 'promote', 'promote', 'promote outside', 'promote outside', 'replicate outside'],
  ...['disable', 'delete', 'restore', 'restore', 'release', 'rotate', 'sync', 'apply'],
] as unknown as readonly [string, ...string[]];

/** Makes the providers, while all is calm, and plans what befalls new families and older ones. */
export async function planFamilies(random: Random, world: World, mark: string): Promise<Operation[]> {
  if (!world.mix.has('families', random, 0.45)) return [];
  const { lab, members } = world;
  const { url } = lab.replicas[0].service;
  for (const [name, region] of Object.entries(familyPlaces)) await send(url, 'POST', '/v1/providers', { name, region });
  const operations: Operation[] = [];
  const add = (name: string, run: (url: string, mark: string) => Promise<void>) => {
    const unique = `${mark} ${name} ${operations.length} of a family`;
    const at = random.between(0, 900);
    operations.push({ name: unique, kind: 'families', at, run: (url) => run(url, unique) });
  };
  if (random.chance(0.4)) {
    const seconds = random.between(1, 15) / 10;
    await lab.control.settings({ multi_region_seconds: seconds });
  }
  // Seldom enough does what befalls any call befall one of these.
  if (world.mix.has('answers', random, 0.4)) {
    const operation = random.pick(['ReplicateKey', 'ReplicateKey', 'UpdatePrimaryRegion'] as const);
    const fault = { operation, kind: random.pick(lostAnswers), times: random.between(1, 2) };
    const run = async () => void (await lab.control.fault(fault));
    operations.push({ name: `fault ${JSON.stringify(fault)}`, kind: 'answers', at: random.between(0, 200), run });
  }
  if (members.length === 0 || random.chance(0.5)) planNew(random, world, add);
  for (let count = random.between(2, 7); count > 0 && members.length > 0; count -= 1) {
    const id = random.pick(members as [string, ...string[]]);
    const kind = random.pick(kinds);
    const choices = { place: random.pick(places), isOn: random.chance(0.5), aliases: anyAliases(random) };
    add(`${kind} (${choices.place})`, (url, name) => befall(world, url, { id, kind, mark: name, ...choices }));
  }
  if (random.chance(0.3)) {
    const place = random.pick(places);
    const keyId = random.chance(0.3) ? await madeOutside(world, mark, familyPlaces[place]) : await anyKey(random, lab);
    if (keyId !== null) add(`import (${place})`, (url) => importMember(world, url, keyId, place));
  }
  return operations;
}

/** One that has a record in some Regions, or in none by now. */
async function anyKey(random: Random, { kmsIn }: Lab): Promise<string | null> {
  const [first, ...others] = (await allKeyIds(kmsIn(familyPlaces[random.pick(places)]))).slice(-10);
  return first === undefined ? null : random.pick([first, ...others]);
}

type Add = (name: string, run: (url: string, mark: string) => Promise<void>) => void;

/** A key by itself, with its replicas in one call, or as lines that are sent until they are answered. */
function planNew(random: Random, world: World, add: Add): void {
  const home = random.pick(places);
  const others = places.filter((place) => place !== home && random.chance(0.7));
  const declared = { provider: home, multi_region: true, enable_key_rotation: random.chance(0.5) };
  const way = random.pick(['together', 'together', 'lines', 'alone'] as const);
  if (way !== 'lines') {
    const body = way === 'together' ? { ...declared, replicate_to: others } : declared;
    const create = async (url: string, description: string) => {
      const answer = await send<Made>(url, 'POST', '/v1/keys', { ...body, description });
      if (answer?.body.id === undefined || answer.status >= 300) return;
      accept(world, answer, 'create', description);
      const replicas = (answer.body.status?.replicas ?? []).flatMap(({ id }) => id ?? []);
      const { asked } = answer;
      for (const id of replicas)
        world.ledger.accepted.push({ id, generation: 1, origin: 'create', description, asked });
      world.members.push(answer.body.id, ...replicas);
    };
    add(`create ${way} (${[home, ...others]})`, create);
    return;
  }
  const id = uuidv7();
  add(`apply (${[home, ...others]})`, async (url, description) => {
    const replicas = others.map((provider) => ({ id: uuidv7(), provider, replica_of: id, description }));
    world.members.push(id, ...replicas.map((line) => line.id));
    const lines = [...replicas, { id, ...declared, description }];
    await sendLines(url, lines);
    await sendLines(url, lines);
  });
}

type Made = { id?: string; status?: { generation?: number; replicas?: { id: string | null }[] } };

async function sendLines(url: string, lines: object[]): Promise<void> {
  await send(url, 'POST', '/v1/keys/apply', lines.map((line) => JSON.stringify(line)).join('\n'));
}

/** An id with the time of now in it, as owners may choose one. */
function uuidv7(): string {
  const time = Date.now().toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

type Befalling = { id: string; kind: string; mark: string; place: Place; isOn: boolean; aliases: string[] };

async function befall(world: World, url: string, { id, kind, mark, place, isOn, aliases }: Befalling): Promise<void> {
  const path = `/v1/keys/${id}`;
  const change = async (body: object, origin = kind, query = '') =>
    accept(world, await send(url, 'PATCH', path + query, { description: mark, ...body }), origin, mark);
  const ask = async (action: string) => accept(world, await send(url, 'POST', `${path}/${action}`), kind, null);
  switch (kind) {
    case 'update':
      return change({ tags: { run: mark.replaceAll(/[^\w. ]/g, '') }, is_enabled: true });
    case 'rotation':
      return change({ enable_key_rotation: isOn });
    case 'aliases':
      return change({ aliases }, kind, '?take_aliases=true');
    case 'disable':
      return change({ is_enabled: false });
    case 'replicate': {
      const answer = await send(url, 'POST', `${path}/replicas`, { provider: place, description: mark });
      if (answer?.body.id !== undefined && answer.status < 300) world.members.push(answer.body.id);
      return accept(world, answer, kind, mark);
    }
    case 'apply': {
      const replica = { id: uuidv7(), provider: place, replica_of: id, description: mark };
      world.members.push(replica.id);
      return sendLines(url, [replica]);
    }
    case 'delete':
      return accept(world, await send(url, 'DELETE', path), kind, null);
    case 'promote':
    case 'restore':
    case 'release':
    case 'rotate':
    case 'sync':
      return ask(kind);
    default:
      return outside(world, url, { path, kind, mark, place });
  }
}

/** What somebody does in KMS; of an answer that is lost nobody can tell. */
async function outside(
  { lab, ledger }: World,
  url: string,
  { path, kind, mark, place }: { path: string; kind: string; mark: string; place: Place },
): Promise<void> {
  const region = familyPlaces[place];
  const { arn } = (await send(url, 'GET', path))?.body ?? {};
  if (typeof arn !== 'string') return;
  const told = await metadata(lab.kmsIn(regionOf(arn)), keyIdOf(arn)).catch(() => null);
  const { Arn = '', Region } = told?.MultiRegionConfiguration?.PrimaryKey ?? {};
  if (Region === undefined) return;
  const KeyId = keyIdOf(Arn);
  if (kind === 'promote outside') {
    ledger.family.promoted.push(KeyId);
    await lab
      .kmsIn(Region)
      .send(new UpdatePrimaryRegionCommand({ KeyId, PrimaryRegion: region }))
      .catch(() => {});
    await send(url, 'POST', `${path}/refresh`);
  } else {
    ledger.family.replicated.push(arnIn(region, KeyId));
    const command = new ReplicateKeyCommand({ KeyId, ReplicaRegion: region, Description: mark });
    await lab
      .kmsIn(Region)
      .send(command)
      .catch(() => {});
  }
}

/** A key that somebody made without Keyward, or that was let go of. */
async function importMember({ members }: World, url: string, keyId: string, provider: string): Promise<void> {
  const answer = await send(url, 'POST', '/v1/keys/import', { key_id: keyId, provider });
  if (answer?.body.id !== undefined && answer.status < 300) members.push(answer.body.id);
}

/** Made while all is calm. */
async function madeOutside({ lab, ledger }: World, mark: string, region: string): Promise<string> {
  const command = new CreateKeyCommand({ Description: `${mark} theirs`, MultiRegion: true });
  const { KeyMetadata } = await lab.kmsIn(region).send(command);
  const keyId = KeyMetadata?.KeyId ?? '';
  ledger.outsiders.set(arnIn(region, keyId), await heldKey(lab.kmsIn(region), keyId));
  return keyId;
}
