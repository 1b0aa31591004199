/** The one path of every change: observe, plan, apply, record. */

import type { ObservedKey } from '../../domain/types.ts';
import { currentUrgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import { accessToHome } from '../providers/access.ts';
import { servicesWith } from '../providers/quotas.ts';
import { findSettings } from '../providers/settings.ts';
import { beginWithLook, duties, identification } from './duties.ts';
import { recordFailure } from './failure.ts';
import { isOnHold, releaseHold } from './held.ts';
import { recordRest } from './journal.ts';
import { Lease, LeaseLost, StoodStill, type Work } from './lease.ts';
import type { Look } from './look.ts';
import { homeOf } from './replacement.ts';
import { recordSkipped } from './send.ts';
import { type Beginning, type Duty, type Ended, isEnded } from './sync.ts';

/** What was read of a key a while ago, and the status_version that its row had then. */
export type Seen = { read: ObservedKey; statusVersion: number };

/**
 * How one comes to sync a key.
 * - seen: not read again, unless the key has been synced since, or somebody has asked for a look.
 * - isPassedOn: by a batch, which has put off when it is due; else what tells of a key may not know of its last sync.
 */
export type HowTaken = { seen?: Seen | undefined; isPassedOn?: boolean };

/**
 * Syncs one key, until nothing more is asked for. Does nothing when it is not due any more, or another worker is at it: that one
 * will see what is new before it ends.
 */
export async function syncKey(services: Services, keyId: string, { seen, isPassedOn }: HowTaken = {}): Promise<void> {
  const taken = await Lease.take(services, keyId, { onlyDue: isPassedOn !== true });
  if (taken === null) return;
  const { row } = taken;
  if (row.lease_until !== null) services.watch.tellTime(row.lease_until.getTime() - services.times.lease);
  if (taken.isTakeover) services.log.info({ key: keyId }, 'took a key over from a worker that fell silent');
  await syncTaken(services, taken, seen);
}

/** The same for a key whose lease is taken. */
export async function syncTaken(services: Services, { lease, row, opened }: Work, seen?: Seen): Promise<void> {
  const { id: keyId } = row;
  const work = { row, lease, ...(opened === undefined ? {} : { opened }) };
  try {
    await Promise.race([syncWhileAsked(services, work, seen), lease.standstill]);
  } catch (error) {
    if (!(error instanceof LeaseLost)) throw error;
    if (error instanceof StoodStill)
      services.log.error({ key: keyId }, 'a sync stood still: its key is left to others');
    else services.log.warn({ key: keyId }, 'another worker took over');
  } finally {
    lease.stop();
  }
}

async function syncWhileAsked(services: Services, work: Work, seen: Seen | undefined): Promise<void> {
  await services.failurePoints.pass('lease-taken');
  if (work.opened !== undefined) await services.failurePoints.pass('writes-recorded');
  const { lease } = work;
  const { status_version, requested_observation, served_observation } = work.row;
  const isFresh = seen?.statusVersion === status_version && requested_observation === served_observation;
  let ended = await syncOnce(services, { ...work, ...(isFresh ? { seen: seen.read } : {}) });
  while (ended.next !== null) {
    // Somebody asked for more meanwhile.
    currentUrgency().isInteractive = true;
    ended = await syncOnce(services, { row: ended.next, lease }, ended.look);
  }
}

/** @param had a look to go by, in place of one of its own. */
async function syncOnce(anywhere: Services, asTaken: Work, had?: Look): Promise<Ended> {
  let services = anywhere;
  let work = asTaken;
  try {
    const settings = await findSettings(anywhere, work.row.provider);
    services = settings === null ? anywhere : servicesWith(anywhere, settings);
    if (isOnHold(work)) {
      const released = await releaseHold(services, work);
      if (isEnded(released)) return released;
      work = released;
    }
    const access = await accessToHome(services, await homeOf(services, work.row), settings);
    const known = await carryOut(work.opened === undefined ? identification : [], { services, access, work });
    const seen = isEnded(known) ? known : await beginWithLook(known, had);
    const ended = isEnded(seen) ? seen : await carryOut(duties, seen);
    if (!isEnded(ended)) throw new Error(`The sync of key ${work.row.id} has no end`);
    return ended;
  } catch (error) {
    await recordRest(services, work.lease);
    await recordSkipped(services, work, work.opened?.take() ?? []);
    return { next: await recordFailure(services, work, error) };
  }
}

async function carryOut<State extends Beginning>(list: Duty<State>[], begun: State): Promise<State | Ended> {
  let state = begun;
  for (const duty of list) {
    const result = await duty(state);
    if (isEnded(result)) return result;
    state = result;
  }
  return state;
}
