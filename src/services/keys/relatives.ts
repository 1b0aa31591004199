/** What a multi-Region key has to do with others: its primary key, and its replicas. */
import { createHash } from 'node:crypto';
import type { Access } from '../../domain/access.ts';
import type { Key, Replica } from '../../schemas/key.ts';
import { placeOf } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';

/** What a caller is shown of a key's relatives. `rotation`: of a replica, that of its primary key. */
export type Relatives = Pick<Key, 'replica_of'> &
  Pick<Key['status'], 'primary_arn' | 'replicas'> & {
    rotation: Partial<Pick<Key, 'enable_key_rotation' | 'rotation_period_in_days'>>;
  };

const none: Relatives = { replica_of: null, primary_arn: null, replicas: [], rotation: {} };

const columns = {
  id: true,
  provider: true,
  arn: true,
  state: true,
  key_state: true,
  tags_all: true,
  replica_of: true,
  enable_key_rotation: true,
  rotation_period_in_days: true,
} as const;

/**
 * Reads the relatives of some keys, in one statement, and in none where no key is a multi-Region one.
 * @returns a function that tells those of one of the keys, as far as the caller may see them.
 */
export async function relativesOf(
  { database }: Services,
  rows: readonly KeyRow[],
  access: Access,
): Promise<(row: KeyRow) => Relatives> {
  const keys = rows.filter((row) => row.multi_region);
  if (keys.length === 0) return () => none;
  const ids = keys.map(({ id }) => id);
  const primaries = keys.flatMap(({ replica_of }) => replica_of ?? []);
  const arns = keys.flatMap((row) => observedOf(row)?.replica_arns ?? []);
  const found = await database.prisma.key.findMany({
    where: {
      state: { not: 'deleted' },
      OR: [{ replica_of: { in: ids } }, { id: { in: primaries } }, { arn: { in: arns } }],
    },
    select: columns,
    orderBy: { id: 'asc' },
  });
  const seen = (found as Related[]).filter((record) => access.may('keys:read', placeOf(record)));
  return (row) => (row.multi_region ? among(row, seen) : none);
}

type Related = Pick<KeyRow, keyof typeof columns>;

function among(row: KeyRow, seen: Related[]): Relatives {
  const observed = observedOf(row);
  const primary = seen.find(({ id }) => id === row.replica_of);
  const isPrimary = observed?.primary_arn === row.arn && row.arn !== null;
  const primaryArn = isPrimary ? null : (observed?.primary_arn ?? primary?.arn ?? null);
  const { enable_key_rotation, rotation_period_in_days } = primary ?? row;
  return {
    replica_of: primary?.id ?? null,
    primary_arn: primaryArn,
    replicas: row.replica_of === null && primaryArn === null ? replicasOf(row, seen) : [],
    rotation: primary === undefined ? {} : { enable_key_rotation, rotation_period_in_days },
  };
}

/** Those that KMS tells of, and those that are on record and still to be made. */
function replicasOf(row: KeyRow, seen: Related[]): Replica[] {
  const told = observedOf(row)?.replica_arns ?? [];
  const own = seen.filter(({ replica_of, arn }) => replica_of === row.id || (arn !== null && told.includes(arn)));
  const others = told.filter((arn) => !own.some((record) => record.arn === arn));
  return [
    ...own.map(({ id, provider, arn, state, key_state }) => ({ id, provider, arn, state, key_state })),
    ...others.map((arn) => ({ id: null, provider: null, arn, state: null, key_state: null })),
  ];
}

/** A part of the ETag of a key: what is shown of its relatives moves without it. Empty: there are none. */
export function markOfRelatives(relatives: Relatives): string {
  if (relatives.replica_of === null && relatives.primary_arn === null && relatives.replicas.length === 0) return '';
  return createHash('sha256').update(JSON.stringify(relatives)).digest('hex').slice(0, 12);
}
