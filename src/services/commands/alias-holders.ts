/** Before an alias is declared of a key: whether another key has it, and whether the caller may take it from that one. */
import { Prisma } from '../../database/client.ts';
import type { Access, Rights } from '../../domain/access.ts';
import { addedNames, mayShareAliases, type TakenAlias } from '../../domain/aliases.ts';
import { withoutReserved } from '../../domain/tags.ts';
import type { Violation } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { tagsOf } from '../../kms/inventory.ts';
import { type DescribedKey, describeAlias } from '../../kms/observe.ts';
import { mayKnowAllKeys, placeOf } from '../access/keys.ts';
import type { Services } from '../context.ts';
import { findClaims } from '../keys/aliases.ts';
import { neighboursOf } from '../keys/same-kms.ts';
import { ProblemError, problemOf } from '../problems.ts';
import { accessToKey } from '../providers/access.ts';
import { type DeclaredKey, declaredOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { findRows } from '../rows/read.ts';

/** The key of which names are declared: its record's id, and which KMS key it is, where there is one. */
type Target = Pick<KeyRow, 'id' | 'provider' | 'arn' | 'key_id'>;

/** Who asks, and whether aliases that other keys have are to be taken from them. */
type Command = { rights: Rights; takeAliases?: boolean | undefined };

/**
 * Another key that has an alias. `described` null: KMS does not tell of it. `mayBeElsewhere`: nobody can tell whether the provider of
 * the key that declares it leads to the same KMS.
 */
type Holder = {
  alias: string;
  row: KeyRow | null;
  isDeclared: boolean;
  described: DescribedKey | null;
  mayBeElsewhere: boolean;
};

/**
 * The aliases that a declaration takes from other keys.
 * @param before what was declared; null: nothing.
 * @returns null where it was not asked to take any.
 * @throws ProblemError conflict where another key has one and it is not to be taken, or can't be; forbidden; temporarily-unavailable
 * when KMS does not tell.
 */
export async function aliasesToTake(
  services: Services,
  target: Target,
  { before, after }: { before: DeclaredKey | null; after: DeclaredKey },
  command: Command,
): Promise<TakenAlias[] | null> {
  const added = after.lifecycle === 'managed' ? addedNames(before?.aliases ?? null, after.aliases) : [];
  const isAsked = command.takeAliases === true;
  if (added.length === 0) return isAsked ? [] : null;
  const { holders, kms } = await holdersOf(services, target, added).catch((error) => {
    throw error instanceof KmsFailure ? problemOf(error, target.key_id ?? target.id) : error;
  });
  const refused: Violation[] = [];
  for (const holder of holders) {
    const detail = await refusalOf(services, kms, target, { holder, after }, command);
    if (detail !== null) refused.push({ pointer: `/aliases/${after.aliases?.indexOf(holder.alias)}`, detail });
  }
  if (refused.length > 0) throw taken(refused, holders, command);
  if (!isAsked) return null;
  return holders.map(({ alias, row, isDeclared, described }) => {
    return { alias, id: row?.id ?? null, arn: described?.arn ?? row?.arn ?? null, was_declared: isDeclared };
  });
}

function taken(refused: Violation[], holders: Holder[], { rights: { access } }: Command): ProblemError {
  const [row] = holders.flatMap((holder) => (holder.row === null ? [] : [holder.row]));
  const isVisible = holders.length === 1 && row !== undefined && access.may('keys:read', placeOf(row));
  const errors = refused.map((one) => ({ ...one, code: 'incompatible' as const }));
  const detail = `${refused.map((one) => one.detail).join(' ')} Nothing was changed.`;
  return new ProblemError('conflict', detail, { errors, ...(isVisible ? { keyId: row.id } : {}) });
}

/** Which other keys have these aliases, in KMS or by what is declared of them. @throws KmsFailure */
async function holdersOf(
  services: Services,
  target: Target,
  names: string[],
): Promise<{ holders: Holder[]; kms: Kms }> {
  const { prisma } = services.database;
  const { kms } = await accessToKey(services, target);
  const { same, apart } = await neighboursOf(services, target.provider, names);
  const claims = await findClaims(prisma, { ...target, apart }, names);
  const found = await Promise.all(names.map(async (alias) => ({ alias, ...(await describeAlias(kms, alias)) })));
  const arns = found.flatMap(({ described }) => (described === null ? [] : [described.arn]));
  const ids = claims.map(({ key_ref }) => key_ref);
  const named = Prisma.sql`keys.state <> 'deleted' AND keys.arn = ANY(${arns}::text[])`;
  const rows = await findRows(prisma, Prisma.sql`WHERE ${named} OR keys.id = ANY(${ids}::uuid[])`);
  const holders = found.flatMap(({ alias, described, isThere }): Holder[] => {
    const claim = claims.find(({ name }) => name === alias);
    if (claim !== undefined) {
      const isHere = claim.provider === target.provider || same.includes(claim.provider);
      const row = rows.find(({ id }) => id === claim.key_ref) ?? null;
      return [{ alias, described, isDeclared: true, row, mayBeElsewhere: !isHere }];
    }
    if (!isThere || described?.key_id === target.key_id) return [];
    const row = rows.find(({ arn }) => arn !== null && arn === described?.arn) ?? null;
    return [{ alias, described, isDeclared: false, row, mayBeElsewhere: false }];
  });
  return { holders, kms };
}

/** Why an alias can't be had; null: it is taken. */
async function refusalOf(
  services: Services,
  kms: Kms,
  target: Target,
  { holder, after }: { holder: Holder; after: DeclaredKey },
  { rights: { access }, takeAliases }: Command,
): Promise<string | null> {
  const { alias, row, isDeclared, described, mayBeElsewhere } = holder;
  const isKnown =
    row === null
      ? await mayTakeUnmanaged(services, kms, target, { described, access })
      : access.may('keys:read', placeOf(row));
  // The same of a key with a record and of one without: who may not see it is not told which.
  if (!isKnown) return `${alias} is that of another key, which is not yours to see or to take.`;
  const owner =
    row === null
      ? `${alias} points at ${described?.arn}, which no record names.`
      : `${alias} ${isDeclared ? 'is declared of' : 'points at'} the key ${row.id}${row.arn === null ? '' : ` (${row.arn})`}.`;
  // Its record would go on declaring it, and each of the two fetch it from the other for ever.
  if (row !== null && row.provider !== target.provider && declaredOf(row).aliases?.includes(alias) === true) {
    const where = mayBeElsewhere ? 'which may lead to the same KMS: STS does not tell' : 'which leads to the same KMS';
    return `${owner} That is a key of provider ${row.provider}, ${where}. Declare it there no more, then here.`;
  }
  if (takeAliases !== true) return `${owner} ?take_aliases=true takes it from that key.`;
  if (row !== null && !access.may('keys:update', placeOf(row)))
    return `${owner} To take it needs keys:update on that key.`;
  if (described !== null && !mayShareAliases(after, described)) {
    return `${owner} KMS moves an alias between keys of one type (symmetric, asymmetric, HMAC) and one key_usage alone.`;
  }
  return null;
}

/** Whoever might import a key may take its aliases: who may update one key must not get at those of the whole account. */
async function mayTakeUnmanaged(
  { ownershipTagName }: Services,
  kms: Kms,
  { provider }: Target,
  { described, access }: { described: DescribedKey | null; access: Access },
): Promise<boolean> {
  if (described === null) return false;
  if (mayKnowAllKeys(access)) return true;
  const tags = await tagsOf(kms, described.key_id).catch((error) => {
    if (error instanceof KmsFailure) return null;
    throw error;
  });
  if (tags === null) return false;
  const place = { provider, tags: withoutReserved(tags, ownershipTagName) };
  return access.may('keys:read', place) && access.may('keys:import', place);
}
