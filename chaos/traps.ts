/**
 * Arrangements in which one safeguard alone keeps harm away. Their records are not in play for anything else, and in their runs
 * nothing befalls the processes that was not arranged.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CreateKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import type { Client } from 'pg';
import { metadata } from '../test/support/kms-truth.ts';
import { type Call, caller, eventually, type LoggedCall } from '../test/support/service.ts';
import { droppedTags } from './dropped-tags.ts';
import { type Lab, times } from './lab.ts';
import type { Ledger } from './ledger.ts';
import type { Kind, Mix } from './mix.ts';
import type { Operation } from './operations.ts';
import type { Random } from './random.ts';
import { unsettledKeys } from './truth.ts';
import { makeWard, type Ward } from './wards.ts';

export type Trap = {
  kind: Kind;
  /** Whether other faults of KMS are let into the run. */
  takesFaults: boolean;
  /** The key that somebody changes, if it is one. */
  ward?: Ward;
  operations: Operation[];
  /** @returns a sentence for each violation, when all is settled. @param calls those of the run. */
  violations(calls: LoggedCall[], database: Client): Promise<string[]>;
};

type World = { lab: Lab; mix: Mix; ledger: Ledger };

/** Chooses one, and makes the key that it needs, while all is calm. */
export async function layTrap(random: Random, { lab, mix, ledger }: World, mark: string): Promise<Trap | null> {
  if (mix.has('planted-key', random, 0.07)) return plantedKey(lab, mark);
  if (mix.has('insistence', random, 0.07)) return insistence(random, lab, mark);
  if (mix.has('late-write', random, 0.07)) return lateWrite(lab, mark);
  if (mix.has('dropped-tags', random, 0.07)) return droppedTags(lab, ledger);
  return mix.has('throttled-rotation', random, 0.07) ? throttledRotation(lab, mark) : null;
}

/**
 * CreateKey does not arrive, somebody makes a key with the record's ownership tag, and KMS refuses what that lacks: the key is
 * nobody's to delete.
 */
function plantedKey(lab: Lab, mark: string): Trap {
  let keyId: string | null = null;
  const run = async (url: string) => {
    const call = caller(url);
    // It is not found before all is arranged.
    await lab.control.fault(
      { operation: 'CreateKey', kind: 'reset_before_effect', times: null, seconds: 3 },
      { operation: 'ListKeys', kind: 'internal_error', times: null, seconds: 5 },
    );
    const body = { description: `${mark} planted`, is_enabled: false };
    const { body: made } = await call('POST', '/v1/keys', body, { prefer: 'respond-async' });
    const sent = await eventually('CreateKey is sent', async () => {
      const calls = await lab.control.calls();
      return calls.find(({ parameters }) => JSON.stringify(parameters).includes(made.id));
    });
    // It came late, and made the key.
    if (sent.error === null) return;
    keyId = await eventually('a key is planted', () => plant(lab.kms, made.id).catch(() => undefined));
    const refused = { operation: 'DisableKey', key_id: keyId, kind: 'error', type: 'ValidationException' };
    await lab.control.fault({ ...refused, message: 'Refused.', times: null });
    // A record that failed stays so: it is let go of, and the key is somebody's again.
    if ((await endOf(call, made.id)) === 'failed') await call('POST', `/v1/keys/${made.id}/release`);
  };
  const violations = async () => {
    if (keyId === null) return [];
    const { KeyState } = await metadata(lab.kms, keyId);
    return KeyState === 'PendingDeletion' ? [`deleted: ${keyId}, which only its tag told to be Keyward's`] : [];
  };
  return {
    kind: 'planted-key',
    takesFaults: false,
    operations: [{ name: 'somebody plants a key', at: 0, run }],
    violations,
  };
}

async function plant(kms: KMSClient, id: string): Promise<string | undefined> {
  const Tags = [{ TagKey: 'keyward:id', TagValue: id }];
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'Planted', Tags }));
  return KeyMetadata?.KeyId;
}

/** Milliseconds in which a record comes to one of the states. */
const patience = 60_000;

async function endOf(call: Call, id: string): Promise<string> {
  return eventually(
    'the record has an end',
    async () => {
      const { body } = await call('GET', `/v1/keys/${id}`);
      return /^(in_sync|failed|pending_deletion|deleted)$/.test(body.status.state) && body.status.state;
    },
    patience,
  );
}

/** How often a key is put right against somebody who changes it back at once. Nobody wins that. */
const mostMends = 3;
const insisting = { rounds: 6, milliseconds: 1200 };

/** Whatever Keyward writes, the key is as before at the next look: it is not told for ever. */
async function insistence(random: Random, lab: Lab, mark: string): Promise<Trap | null> {
  const ward = await makeWard(lab.replicas[0].service.url, `${mark} insisted`, 'enforce');
  if (ward === null) return null;
  const theirs = { description: `${mark} insisted, theirs`, enabled: true };
  const run = async () => {
    ward.theirs = theirs;
    const insist = setInterval(() => lab.control.changeKey(ward.arn, theirs).catch(() => {}), 60);
    for (let round = 0; round < insisting.rounds; round += 1) {
      await dueNow(lab, ward.id);
      await delay(insisting.milliseconds);
    }
    clearInterval(insist);
  };
  const violations = async (_calls: LoggedCall[], database: Client) => {
    const { rows } = await database.query<{ count: number }>(
      `SELECT count(*)::int FROM kms_writes WHERE key_ref = $1 AND operation = 'UpdateKeyDescription' AND outcome = 'done'`,
      [ward.id],
    );
    const count = rows[0]?.count ?? 0;
    return count > mostMends ? [`in vain: UpdateKeyDescription of ${ward.keyId} of ${ward.id}, ${count} times`] : [];
  };
  const operations = [{ name: `somebody insists on ward ${ward.id}`, at: random.between(0, 300), run }];
  // A stale read shows the key as it was for a moment, as declared: then the writes have had their effect.
  return { kind: 'insistence', takesFaults: false, operations, violations, ward };
}

/** PostgreSQL may be away. */
async function dueNow(lab: Lab, id: string): Promise<void> {
  const due = 'UPDATE work SET due_at = now() WHERE key_ref = $1 AND due_at > now()';
  await lab
    .database()
    .then((database) => database.query(due, [id]))
    .catch(() => {});
}

/**
 * How often KMS may be asked in vain to change the rotation while a key that is declared disabled is enabled for that: the time
 * that it is enabled says more of the machine.
 */
const mostInVain = 2;
const throttledFor = 8;

/** A key has to be enabled for a change of its rotation, and KMS has no time for that: it is not left usable meanwhile. */
async function throttledRotation(lab: Lab, mark: string): Promise<Trap> {
  const call = caller(lab.replicas[0].service.url);
  const { id, keyId } = await madeKey(call, { description: `${mark} disabled`, is_enabled: false });
  const run = async (url: string) => {
    const throttled = { operation: 'EnableKeyRotation', key_id: keyId, kind: 'throttle' };
    await lab.control.fault({ ...throttled, times: null, seconds: throttledFor });
    await caller(url)('PATCH', `/v1/keys/${id}`, { enable_key_rotation: true }, { prefer: 'respond-async' });
    await delay(throttledFor * 1000);
  };
  const violations = async (calls: LoggedCall[]) => {
    const inVain = mostInVainWhileEnabled(calls.filter(({ key_id }) => key_id === keyId));
    return inVain > mostInVain ? [`usable: ${keyId} of ${id}, declared disabled, for ${inVain} calls in vain`] : [];
  };
  return {
    kind: 'throttled-rotation',
    takesFaults: false,
    operations: [{ name: 'the rotation of a disabled key changes, and is throttled', at: 0, run }],
    violations,
  };
}

/** How often the rotation was to be changed in vain in one time that the key was enabled; without end where it still is. */
function mostInVainWhileEnabled(calls: LoggedCall[]): number {
  let [inVain, most]: [number | null, number] = [null, 0];
  for (const { operation, error } of calls) {
    if (operation === 'EnableKeyRotation' && error !== null && inVain !== null) inVain += 1;
    if (error !== null) continue;
    if (operation === 'EnableKey') inVain ??= 0;
    if (operation !== 'DisableKey' || inVain === null) continue;
    most = Math.max(most, inVain);
    inVain = null;
  }
  return inVain === null ? most : Number.POSITIVE_INFINITY;
}

/** A worker sleeps with a write in its hand, another carries a newer change out, and the first one wakes up. */
async function lateWrite(lab: Lab, mark: string): Promise<Trap> {
  const [sleeper, other] = lab.replicas;
  const call = caller(other.service.url);
  const { id, keyId } = await madeKey(call, { description: `${mark} before` });
  const newest = `${mark} newest`;
  const run = async () => {
    await sleeper.arm([{ id: `${mark}-late`, point: 'before-send', action: 'freeze', pass: 1 }]);
    const late = change(sleeper.service.url, id, `${mark} late`);
    await delay((times.lease + 1) * 1000);
    await change(other.service.url, id, newest);
    await eventually('the newer change is carried out', () => isSettled(lab, id), patience);
    sleeper.signal('SIGCONT');
    await late;
    await delay(1000);
  };
  const violations = async () => {
    const { Description } = await metadata(lab.kms, keyId);
    return Description === newest ? [] : [`lost: description of ${id} is to be ${newest}, is ${Description}`];
  };
  return {
    kind: 'late-write',
    takesFaults: false,
    operations: [{ name: `a worker sleeps with a write of ${id}`, at: 0, run }],
    violations,
  };
}

/** Also what became of the write that was cut off is certain then. */
async function isSettled(lab: Lab, id: string): Promise<boolean> {
  const open = await unsettledKeys(await lab.database());
  return !open.some((row) => (row as { id: string }).id === id);
}

/** Its answer may never come. */
async function change(url: string, id: string, description: string): Promise<void> {
  const headers = { 'content-type': 'application/json', prefer: 'respond-async' };
  const request = {
    method: 'PATCH',
    headers,
    body: JSON.stringify({ description }),
    signal: AbortSignal.timeout(5000),
  };
  await fetch(new URL(`/v1/keys/${id}`, url), request).catch(() => {});
}

async function madeKey(call: Call, declared: object): Promise<{ id: string; keyId: string }> {
  const { body: made } = await call('POST', '/v1/keys', declared);
  const { body } = await eventually('the key is made', async () => {
    const seen = await call('GET', `/v1/keys/${made.id}`);
    return seen.body.status.state === 'in_sync' && seen;
  });
  return { id: body.id, keyId: body.key_id ?? '' };
}
