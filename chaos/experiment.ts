/** One run: owners do things while everything goes wrong; then it is quiet, and all must come right. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { calm, type Disturbance, planDisturbances, planForTrap, wake } from './disturbances.ts';
import { planFamilies } from './families.ts';
import { familyViolations } from './family-invariants.ts';
import { grantViolations, planGrants } from './grants.ts';
import { unrecordedWrites, violations } from './invariants.ts';
import type { Lab } from './lab.ts';
import type { Ledger } from './ledger.ts';
import type { Mix } from './mix.ts';
import { type Operation, planOperations } from './operations.ts';
import { allRegions } from './places.ts';
import type { Random } from './random.ts';
import { recover, tellWhoseKeysAre, writesBeforeTheGo } from './restore.ts';
import { layTrap, type Trap } from './traps.ts';
import { unsettledKeys } from './truth.ts';
import { unaskedDoings } from './unasked.ts';
import { anyDriftPolicy, makeWard, planForWard } from './wards.ts';

/** Milliseconds in which all must come right. A sync that hangs is given up after two minutes. */
const patience = 60_000;
const patienceWithHanging = 200_000;

export type Outcome = {
  violations: string[];
  /** Milliseconds from the end of all faults until all was settled. */
  convergence: number;
  /** What was open after half of the time in which all must come right; null: nothing. */
  openForLong: string | null;
  plan: string[];
  /** Changes and rotations that were recorded, whatever became of their answers and of them. */
  changes: number;
  /** KMS calls of the service, by operation. */
  calls: Record<string, number>;
  /** How many calls had which fault. */
  faults: Record<string, number>;
  /** How often which kind of disturbance was there. */
  disturbances: Record<string, number>;
};

export type World = { lab: Lab; mix: Mix; ledger: Ledger; ids: string[]; members: string[] };

/** @param mark names the run in all that it makes. */
export async function experiment(world: World, random: Random, mark: string): Promise<Outcome> {
  const { lab, mix, ledger, ids, members } = world;
  ledger.begin();
  // One that was killed at the very end of the last run may not have been dead yet when that was over.
  for (const replica of lab.replicas) await replica.start();
  const operations = await planOperations(random, { kms: lab.kms, control: lab.control, mix, ledger, ids, mark });
  operations.push(...(await planFamilies(random, world, mark)));
  operations.push(...(await planGrants(random, world, mark)));
  operations.push(...(await planWard(world, random, mark)));
  const trap = await layTrap(random, world, mark);
  if (trap?.ward !== undefined) ledger.noteWard(trap.ward);
  operations.push(...(trap?.operations ?? []));
  const before = { accepted: ledger.accepted.length, seq: await lastEvent(await lab.database()), trap };
  await lab.control.clear();
  const disturbances = trap === null ? planDisturbances(random, world, mark) : planForTrap(random, world, trap);
  const targets = new Map(operations.map((operation) => [operation, random.pick(lab.replicas).service.url]));
  const sleeper = random.chance(0.3) ? random.pick(lab.replicas) : null;
  const plan = [...operations, ...disturbances].sort((a, b) => a.at - b.at).map(({ at, name }) => `${at} ms: ${name}`);
  await Promise.all([
    ...operations.map((operation) => at(operation, () => operation.run(targets.get(operation) ?? ''))),
    ...disturbances.map((disturbance) => at(disturbance, () => disturbance.run())),
    delay(1500),
  ]);
  const faults = await firedFaults(lab);
  await calm(lab, sleeper);
  const awake = lab.replicas.find((replica) => replica !== sleeper) ?? lab.replicas[0];
  const stuck: string[] = [];
  ledger.recovery.decided = await recover(awake, random.pick(['observed', 'declared'])).catch((error: Error) => {
    stuck.push(`held: ${error.message}`);
    return null;
  });
  const quietSince = performance.now();
  const late: string[] = [];
  let open = await untilSettled(lab, mix, (rows) => late.push(rows));
  const convergence = performance.now() - quietSince;
  if (sleeper !== null) {
    await wake(sleeper);
    open ??= await untilSettled(lab, mix);
  }
  const calls = countedBy(await lab.control.calls({ reads: true }), ({ operation }) => operation);
  const found = open === null ? await checkAtRest(world, () => check(world, before)) : [open];
  for (const list of [ids, members]) await forgetRemoved(lab, list);
  const changes = await recordedChanges(await lab.database(), before.seq);
  const fired = countedBy(
    [...disturbances, ...operations].flatMap(({ kind }) => kind ?? []),
    (kind) => kind,
  );
  return {
    violations: [...deaths(lab), ...stuck, ...found],
    convergence,
    openForLong: late[0] ?? null,
    plan,
    changes,
    calls,
    faults,
    disturbances: fired,
  };
}

/** What the run begins with. */
type Before = { accepted: number; seq: string; trap: Trap | null };

/** A key that is left to itself, but for what somebody does to it in KMS. */
async function planWard({ lab, mix, ledger }: World, random: Random, mark: string): Promise<Operation[]> {
  if (!mix.has('wards', random, 0.3)) return [];
  const ward = await makeWard(lab.replicas[0].service.url, mark, anyDriftPolicy(random));
  if (ward === null) return [];
  ledger.noteWard(ward);
  return planForWard(random, lab, ward, mark);
}

/** A replica that was frozen may yet take up a request that nobody waits for any more: then the check saw two moments. */
export async function checkAtRest({ lab, mix }: World, look: () => Promise<string[]>): Promise<string[]> {
  for (;;) {
    const seq = await lastEvent(await lab.database());
    const found = await look();
    if ((await lastEvent(await lab.database())) === seq) return found;
    const open = await untilSettled(lab, mix);
    if (open !== null) return [open];
  }
}

async function lastEvent(database: Client): Promise<string> {
  const { rows } = await database.query<{ seq: string }>('SELECT coalesce(max(seq), 0) AS seq FROM events');
  return rows[0]?.seq ?? '0';
}

/** Records of which an operator has decided what KMS is to hold. */
async function decidedSince(database: Client, sinceSeq: string): Promise<ReadonlySet<string>> {
  const { rows } = await database.query<{ key_ref: string }>(
    "SELECT DISTINCT key_ref FROM events WHERE seq > $1 AND type = 'recovery.resumed'",
    [sinceSeq],
  );
  return new Set(rows.map(({ key_ref }) => key_ref));
}

async function recordedChanges(database: Client, sinceSeq: string): Promise<number> {
  const { rows } = await database.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM events WHERE seq > $1 AND type IN ('desired_state.changed', 'rotation.requested')",
    [sinceSeq],
  );
  return rows[0]?.count ?? 0;
}

async function check({ lab, ledger, ids, members }: World, before: Before): Promise<string[]> {
  const { kms, kmsIn } = lab;
  const { lost, movedAliases, rotatedUnseen, wards, allWards } = ledger;
  const database = await lab.database();
  const decidedOn = await decidedSince(database, before.seq);
  const calls = await lab.control.calls();
  await ledger.noteReleased(kmsIn, database);
  for (const region of allRegions) await ledger.noteOrphans(kmsIn(region), database);
  await ledger.noteReplicated(kmsIn);
  const foreign = await ledger.foreignKeys(database);
  const expected = { foreign, lost, movedAliases, rotatedUnseen, only: new Set([...ids, ...members]) };
  const found: string[] = [];
  for (const region of allRegions) found.push(...(await violations({ kms: kmsIn(region), database }, expected)));
  return [
    ...found,
    ...(await grantViolations(lab, database, ledger)),
    ...(await familyViolations({ lab, database, calls, ledger })),
    ...(await writesBeforeTheGo(ledger, database, calls)),
    ...(await ledger.missing(database, before.accepted)),
    ...(await unrecordedWrites(database, calls, ledger.pointedOutside)),
    ...((await before.trap?.violations(calls, database)) ?? []),
    ...(await unaskedDoings({ kms, kmsIn, database, calls, wards, allWards, decidedOn, lost }, before.seq)),
  ];
}

function countedBy<Item>(items: Item[], name: (item: Item) => string): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(items, name)].map(([key, group]) => [key, group.length]));
}

async function firedFaults(lab: Lab): Promise<Record<string, number>> {
  const { body } = await lab.control.faults();
  const fired: Record<string, number> = {};
  for (const { kind, type, fired: times } of body.faults) {
    const name = kind === 'error' ? `stray ${type}` : kind;
    fired[name] = (fired[name] ?? 0) + times;
  }
  return fired;
}

async function at({ at: milliseconds }: Operation | Disturbance, run: () => Promise<void>): Promise<void> {
  await delay(milliseconds);
  await run();
}

/** A replica ends when it is killed or asked to, and never by itself. */
function deaths(lab: Lab): string[] {
  return [...lab.replicas, lab.guest].flatMap((replica) =>
    replica.unexpectedEnd === null ? [] : [`died: a replica ended by itself: ${replica.unexpectedEnd}`],
  );
}

/** @returns null when all is settled; else what was open when patience ended. */
async function untilSettled(lab: Lab, mix: Mix, tellLate: (open: string) => void = () => {}): Promise<string | null> {
  const longest = mix.isChosen('hang') ? patienceWithHanging : patience;
  const deadline = performance.now() + longest;
  let open: unknown = 'nothing was looked at';
  while (performance.now() < deadline) {
    // One that had killed itself may not have been dead yet.
    for (const replica of lab.replicas) await replica.start();
    open = await lab
      .database()
      .then(async (database) => {
        await tellWhoseKeysAre(lab.replicas[0], database);
        return unsettledKeys(database);
      })
      .catch((error: Error) => error.message);
    if (Array.isArray(open) && open.length === 0) return null;
    if (performance.now() > deadline - longest / 2) tellLate(JSON.stringify(open));
    await delay(100);
  }
  const calls = (await lab.control.calls({ reads: true })).slice(-30);
  const lastCalls = calls.map(({ at, operation, key_id: keyId }) => `${at} ${operation} ${keyId}`);
  return `not settled after ${longest} ms: ${JSON.stringify(open)}; the last calls: ${lastCalls.join(', ')}`;
}

/** Only so many keys are kept in play, and those that are gone are not. */
async function forgetRemoved(lab: Lab, ids: string[]): Promise<void> {
  const { rows } = await (await lab.database()).query<{ id: string }>('SELECT id FROM keys');
  const there = new Set(rows.map(({ id }) => id));
  const kept = ids.filter((id) => there.has(id)).slice(-10);
  ids.splice(0, ids.length, ...kept);
}
