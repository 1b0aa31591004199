/** Rights on keys: where a key is, and whether what is declared of it may be declared. */
import type { Database } from '../../database/client.ts';
import type { Access, Place, Rights } from '../../domain/access.ts';
import type { Tags } from '../../domain/types.ts';
import { isUuid } from '../../domain/uuid.ts';
import { keyNotFound, ProblemError } from '../problems.ts';

/** What of a key's row rights go by. */
type Row = { provider: string; tags_all: unknown };

export function placeOf({ provider, tags_all }: Row): Place {
  return { provider, tags: tags_all as Tags };
}

const selectPlace = { name: 'find_place', text: 'SELECT provider, tags_all FROM keys WHERE id = $1' };

/** null: there is no record of the key (any more). */
export async function findPlace({ database }: { database: Database }, id: string): Promise<Place | null> {
  if (!isUuid(id)) return null;
  const { rows } = await database.pool.query<Row>({ ...selectPlace, values: [id] });
  return rows[0] === undefined ? null : placeOf(rows[0]);
}

/**
 * Whether the caller may do to a key of that id what it asks for.
 * @throws ProblemError not-found where it may not see the key, forbidden where it may see it.
 */
export async function assertMayTouch(stored: { database: Database }, id: string, rights: Rights): Promise<void> {
  const { access, permission } = rights;
  if (access.hasEverywhere('keys:read') && access.hasEverywhere(permission)) return;
  const place = await findPlace(stored, id);
  if (place === null || !access.may('keys:read', place)) throw keyNotFound(id);
  if (!access.may(permission, place)) throw forbidden(permission);
}

/**
 * Whether the caller may declare the whole of a key of that id: make it where there is none, else change it.
 * @throws ProblemError not-found where it may not see the key, forbidden.
 */
export async function assertMayPut(stored: { database: Database }, id: string, access: Access): Promise<void> {
  if ((await findPlace(stored, id)) !== null) return assertMayTouch(stored, id, { access, permission: 'keys:update' });
  if (!access.hasSomewhere('keys:create')) throw forbidden('keys:create');
}

/** Whether somebody may know of every KMS key there is: of those on record, and of those that could be imported. */
export function mayKnowAllKeys(access: Access): boolean {
  return access.hasEverywhere('keys:read') && access.hasEverywhere('keys:import');
}

/** For what names keys without looking at each. @throws ProblemError forbidden */
export function assertSeesAllKeys({ access }: Rights): void {
  if (!access.hasEverywhere('keys:read'))
    throw new ProblemError('forbidden', 'This needs keys:read without limits too.');
}

/** @param policy whether it goes to KMS with this change. */
type Declaration = { id: string; before: Row | null; after: Row; policy: boolean; bypasses: boolean };

/**
 * Whether a caller may leave a key as it would be: asked in the transaction that records it, so that nobody gives himself a
 * key by its tags, nor gives one away unseen.
 * @throws ProblemError not-found, forbidden.
 */
export function assertMayDeclare(rights: Rights, declaration: Declaration): void {
  const { access, permission } = rights;
  const { id, before, after, policy, bypasses } = declaration;
  if (before !== null && !access.may(permission, placeOf(before))) throw keyNotFound(id);
  if (!access.may(permission, placeOf(after))) {
    throw new ProblemError(
      'forbidden',
      `Your right to ${permission} is limited, and the key would be outside of it with this provider and these tags.`,
    );
  }
  if (bypasses && policy && !access.may('keys:bypass-lockout', placeOf(after))) throw forbidden('keys:bypass-lockout');
}

export function forbidden(permission: string): ProblemError {
  return new ProblemError('forbidden', `This needs the permission ${permission}.`);
}
