/** Finds a key by whatever names it. */
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import { isUuid } from '../../domain/uuid.ts';
import type { Services } from '../context.ts';
import { conflict, ProblemError } from '../problems.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { findRows } from '../rows/read.ts';
import { withinLimits } from '../visibility.ts';

const alias = /^(?:arn:[^:]*:kms:[^:]*:[^:]*:)?alias\//;

/**
 * The key of that id, key id in KMS or ARN, among those that the caller may see. Keyward's own id goes before a key id.
 * @throws ProblemError not-found; conflict where several keys have that key id.
 */
export async function findKeyByName({ database }: Services, name: string, access: Access): Promise<KeyRow> {
  if (alias.test(name)) throw notFound(name, 'Aliases are not on record: ask KMS for the key id behind it.');
  const ways = [
    ...(isUuid(name) ? [Prisma.sql`keys.id = ${name}::uuid`] : []),
    Prisma.sql`keys.key_id = ${name}`,
    Prisma.sql`keys.arn = ${name}`,
  ];
  const visible = withinLimits(access.limitsOf('keys:read'));
  const rows = await findRows(
    database.prisma,
    Prisma.sql`WHERE ${visible} AND (${Prisma.join(ways, ' OR ')}) LIMIT 20`,
  );
  const [first, second] = rows;
  const own = rows.find(({ id }) => id === name.toLowerCase()) ?? (second === undefined ? first : undefined);
  if (own !== undefined) return own;
  if (first === undefined) throw notFound(name, 'It may be an id, a key id or an ARN.');
  const arns = rows.map(({ arn }) => arn).join(', ');
  throw conflict(`Several keys have the key id ${JSON.stringify(name)}: ask by one of their ARNs, ${arns}.`);
}

function notFound(name: string, hint: string): ProblemError {
  return new ProblemError('not-found', `There is no key ${JSON.stringify(name)}. ${hint}`);
}
