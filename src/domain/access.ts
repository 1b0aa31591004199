/** What a caller may do: the sum of the roles that are given to it, each everywhere or limited to providers and to tags. */
import { type Permission, permissionNames } from './permissions.ts';
import type { Tags } from './types.ts';

/** Where a role holds; null: no limit. A key is within it when its provider is listed and it has all of the tags. */
export type Limit = { providers: readonly string[] | null; tags: Readonly<Tags> | null };

/** A role that is given, with the permissions that it has by now. */
export type Grant = Limit & { permissions: readonly Permission[] };

/** What of a key rights go by. */
export type Place = { provider: string; tags: Readonly<Tags> };

/** Whether a key is within a limit. */
export function isWithinLimit({ providers, tags }: Limit, place: Place): boolean {
  if (providers !== null && !providers.includes(place.provider)) return false;
  return tags === null || Object.entries(tags).every(([name, value]) => tagOf(place.tags, name) === value);
}

function tagOf(tags: Readonly<Tags>, name: string): string | undefined {
  return Object.hasOwn(tags, name) ? tags[name] : undefined;
}

function isNone({ providers, tags }: Limit): boolean {
  return providers === null && (tags === null || Object.keys(tags).length === 0);
}

/** The rights of one caller. */
export class Access {
  readonly #limits = new Map<Permission, Limit[] | null>();

  constructor(grants: readonly Grant[]) {
    for (const { permissions, providers, tags } of grants) {
      const limit = { providers, tags };
      for (const permission of permissions) {
        const known = this.#limits.get(permission);
        if (known === null || isNone(limit)) this.#limits.set(permission, null);
        else this.#limits.set(permission, [...(known ?? []), limit]);
      }
    }
  }

  /** Where the caller may do it; null: everywhere; none: nowhere. */
  limitsOf(permission: Permission): readonly Limit[] | null {
    const limits = this.#limits.get(permission);
    return limits === undefined ? [] : limits;
  }

  hasEverywhere(permission: Permission): boolean {
    return this.limitsOf(permission) === null;
  }

  hasSomewhere(permission: Permission): boolean {
    return this.#limits.has(permission);
  }

  /** Whether it may be done to a key that is there. */
  may(permission: Permission, place: Place): boolean {
    const limits = this.limitsOf(permission);
    return limits === null || limits.some((limit) => isWithinLimit(limit, place));
  }

  /** Whether the provider is one of those where it may be done, to some of its keys at least. */
  mayAt(permission: Permission, provider: string): boolean {
    const limits = this.limitsOf(permission);
    return limits === null || limits.some(({ providers }) => providers === null || providers.includes(provider));
  }

  /** What may be done somewhere. */
  get permissions(): Permission[] {
    return permissionNames.filter((permission) => this.hasSomewhere(permission));
  }

  /** What may be done to a key that is there. */
  permissionsFor(place: Place): Permission[] {
    return ofKeys.filter((permission) => this.may(permission, place));
  }
}

const ofKeys = permissionNames.filter((permission) => permission.startsWith('keys:'));

/** Tells one set of permissions on a key from another, in letters and digits; empty: all of them. */
export function markOf(permissions: readonly Permission[]): string {
  if (permissions.length === ofKeys.length) return '';
  return ofKeys.reduce((mark, one, bit) => mark + (permissions.includes(one) ? 2 ** bit : 0), 0).toString(36);
}

/** Of whoever may do everything. */
export const unlimited = new Access([{ permissions: permissionNames, providers: null, tags: null }]);

/** The rights of a caller for what it asks: `permission` is what the operation needs. */
export type Rights = { access: Access; permission: Permission };
