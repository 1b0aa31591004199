/** What the journal tells of writes whose outcome, or whose visibility in KMS, is not certain yet. */
import type { KmsWrite } from '../../database/client.ts';
import { makingOperations } from '../../domain/operations.ts';
import type { RecentWrite } from '../../domain/recent-writes.ts';
import type { UnknownWrite } from '../../domain/scope.ts';
import type { KmsFailure } from '../../kms/errors.ts';
import type { Services } from '../context.ts';
import type { KeyRow } from '../rows/key-row.ts';
import type { Lease } from './lease.ts';

/** Writes whose outcome is not settled: left by a worker that was cut off, or CreateKey calls that nobody can tell of. */
export function findOpenWrites(services: Services, keyId: string): Promise<KmsWrite[]> {
  return services.database.prisma.kmsWrite.findMany({
    where: {
      key_ref: keyId,
      OR: [{ outcome: null }, { outcome: 'unknown', operation: { in: [...makingOperations] } }],
    },
    orderBy: { id: 'asc' },
  });
}

/** Whether a worker with this lease has sent something of which it can't be told whether it took effect. */
export async function hasLeftOpen(services: Services, { keyId, token }: Lease): Promise<boolean> {
  const left = { key_ref: keyId, lease_token: token, OR: [{ outcome: null }, { outcome: 'unknown' }] };
  return (await services.database.prisma.kmsWrite.findFirst({ where: left, select: { id: true } })) !== null;
}

/** Milliseconds until none of these writes can land any more, and reads show those that did. Not above 0: it is so. */
export async function timeUntilSettled(services: Services, writes: KmsWrite[]): Promise<number> {
  const [row] = await services.database.prisma.$queryRaw<{ left: number }[]>`
    SELECT extract(epoch FROM max(lands_until) - clock_timestamp())::float8 * 1000 AS left
    FROM kms_writes WHERE id = ANY(${writes.map(({ id }) => id)}::uuid[])`;
  return (row?.left ?? 0) + services.times.settle;
}

/**
 * Milliseconds until an observation shows for certain what became of the writes of unknown outcome: they can't land any
 * more, and reads are no older than the newest write. Not above 0: one that begins now does.
 */
export async function timeUntilVerifiable(services: Services, keyId: string): Promise<number> {
  const [row] = await services.database.prisma.$queryRaw<{ left: number }[]>`
    SELECT extract(
      epoch FROM max(CASE outcome WHEN 'unknown' THEN lands_until ELSE finished_at END) - clock_timestamp()
    )::float8 * 1000 AS left
    FROM kms_writes WHERE key_ref = ${keyId}::uuid AND outcome IN ('unknown', 'done')
    HAVING bool_or(outcome = 'unknown')`;
  return row === undefined ? 0 : row.left + services.times.settle;
}

/**
 * The writes of unknown outcome of which no observation has told yet whether they took effect: they may have landed since the
 * last one, or it may have been older than they are.
 */
export function findUnverifiedWrites(services: Services, { id, last_observed_at }: KeyRow): Promise<UnknownWrite[]> {
  return services.database.prisma.$queryRaw<UnknownWrite[]>`
    SELECT operation, parameters FROM kms_writes
    WHERE key_ref = ${id}::uuid AND outcome = 'unknown'
      AND lands_until + ${services.times.settle} * interval '1 millisecond' > ${last_observed_at ?? new Date(0)}
    ORDER BY id`;
}

/** Milliseconds since KMS first refused this call for the generation at hand; 0: it has not. */
export async function timeSinceFirstRefusal(
  services: Services,
  { id, generation }: Pick<KeyRow, 'id' | 'generation'>,
  { operation, code }: Pick<KmsFailure, 'operation' | 'code'>,
): Promise<number> {
  const [row] = await services.database.prisma.$queryRaw<{ since: number | null }[]>`
    SELECT extract(epoch FROM clock_timestamp() - min(finished_at))::float8 * 1000 AS since FROM kms_writes
    WHERE key_ref = ${id}::uuid AND generation = ${generation} AND operation = ${operation}
      AND outcome IN ('refused', 'not_done') AND error ->> 'code' = ${code}`;
  return row?.since ?? 0;
}

/** The writes that KMS carried out so lately that reads may not show them, oldest first. */
export function findRecentWrites(services: Services, keyId: string): Promise<RecentWrite[]> {
  return services.database.prisma.$queryRaw<RecentWrite[]>`
    SELECT operation, parameters, before, finished_at FROM kms_writes
    WHERE key_ref = ${keyId}::uuid AND outcome = 'done'
      AND finished_at > clock_timestamp() - ${services.times.settle} * interval '1 millisecond'
    ORDER BY finished_at, id`;
}
