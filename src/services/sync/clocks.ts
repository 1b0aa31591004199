/**
 * Whether PostgreSQL and KMS agree on the time. The journal says by PostgreSQL's clock when a CreateKey was planned and until
 * when it can land; KMS says by its own when a key was made. Where they differ, neither tells anything of the other.
 */
import type { OperationName } from '../../domain/operations.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { listKeys } from '../../kms/inventory.ts';
import type { Services } from '../context.ts';

/** Milliseconds. A Date header tells whole seconds, and an answer takes a while. */
const tolerated = 60_000;

/**
 * Asked before a CreateKey or ReplicateKey is planned, and before one without an answer is given up.
 * @param operation the one that is to be sent, or was.
 * @throws KmsFailure `ClocksDiffer`: no key may be made until they agree.
 */
export async function assertClocksAgree(services: Services, kms: Kms, operation: OperationName): Promise<void> {
  if (services.failurePoints.isOff('no-clock-check')) return;
  const assumed = await difference(services, kms);
  if (assumed !== null && Math.abs(assumed) <= tolerated) return;
  // What an answer told a while ago is no proof: this process, or its host, may have been asleep since.
  await listKeys(kms, 1, null).catch(() => {});
  const told = await difference(services, kms);
  // A KMS whose answers have no Date can't be compared with.
  if (told === null || Math.abs(told) <= tolerated) return;
  const seconds = Math.round(Math.abs(told) / 1000);
  const message = `PostgreSQL's clock is ${seconds} seconds ${told > 0 ? 'ahead of' : 'behind'} KMS's: no key is made until they differ by a minute at most`;
  throw new KmsFailure('fault', 'ClocksDiffer', message, operation, true);
}

/**
 * Whether the clocks are known to agree without asking anybody.
 * @param now by PostgreSQL's clock, in milliseconds since the epoch.
 */
export function areTogether(services: Services, kms: Kms, now: number): boolean {
  if (services.failurePoints.isOff('no-clock-check')) return true;
  const time = kms.clock.now();
  return time !== null && Math.abs(now - time) <= tolerated / 2;
}

/** Milliseconds by which PostgreSQL's clock is ahead of KMS's, at least; null: KMS does not tell. */
async function difference({ database }: Services, kms: Kms): Promise<number | null> {
  const asked = performance.now();
  const { rows } = await database.pool.query<{ now: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now',
  );
  const [time, now] = [kms.clock.now(), rows[0]?.now];
  if (time === null || now === undefined) return null;
  const elapsed = performance.now() - asked;
  return Math.sign(now - time) * Math.max(0, Math.abs(now - time) - elapsed);
}
