/** Aliases: names that point at one KMS key each, and can be moved from one to another. */
import type { Difference } from './values.ts';

/** The key id that each alias points at. */
export type AliasTargets = Record<string, string>;

/** What stands for the key id where KMS says that an alias points at a key, and not at which. */
export const untoldKey = 'untold';

/**
 * An alias that was taken from another key, and from which: `id` of its record, null where Keyward has none; `was_declared`: that
 * record declared it.
 */
export type TakenAlias = { alias: string; id: string | null; arn: string | null; was_declared: boolean };

/** The names that are declared now and were not before. */
export function addedNames(before: readonly string[] | null, after: readonly string[] | null): string[] {
  return (after ?? []).filter((name) => before?.includes(name) !== true);
}

type Named = { key_id: string; aliases: AliasTargets | null };

/** The names of a key, in their order; null: KMS did not tell. */
export function aliasesOf({ key_id, aliases }: Named): string[] | null {
  if (aliases === null) return null;
  return Object.keys(aliases)
    .filter((name) => aliases[name] === key_id)
    .sort();
}

/** Whether both name the same, in whatever order. */
export function haveSameNames(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name) => other.includes(name));
}

export type AliasChanges = { missing: string[]; elsewhere: { name: string; from: string }[]; extra: string[] };

/** What is to be done so that a key has exactly the names that are declared. */
export function aliasChanges(declared: readonly string[], key: Named): AliasChanges {
  const { key_id, aliases } = key;
  const wanted = declared.filter((name) => aliases?.[name] !== key_id);
  return {
    missing: wanted.filter((name) => aliases?.[name] === undefined),
    elsewhere: wanted.flatMap((name) => {
      const from = aliases?.[name];
      return from === undefined ? [] : [{ name, from }];
    }),
    extra: (aliasesOf(key) ?? []).filter((name) => !declared.includes(name)),
  };
}

/** Name by name: the id of the key that it is to point at, and of the one that it points at. */
export function aliasDifferences(declared: readonly string[], key: Named): Difference[] {
  const { missing, elsewhere, extra } = aliasChanges(declared, key);
  return [...missing, ...elsewhere.map(({ name }) => name), ...extra].sort().map((name) => ({
    field: `aliases.${name}`,
    desired: extra.includes(name) ? null : key.key_id,
    observed: key.aliases?.[name] ?? null,
  }));
}

/** The aliases as they are once one of them points at the key, or at another one. */
export function withAlias({ key_id, aliases }: Named, name: string, target = key_id): { aliases: AliasTargets | null } {
  return { aliases: aliases === null ? null : { ...aliases, [name]: target } };
}

/** The aliases as they are once one of them is gone. */
export function withoutAlias({ aliases }: Named, name: string): { aliases: AliasTargets | null } {
  if (aliases === null) return { aliases };
  const { [name]: _gone, ...rest } = aliases;
  return { aliases: rest };
}

/** KMS moves an alias between keys of one type and one usage alone. Source: AWS KMS API reference, UpdateAlias. */
export function mayShareAliases(one: Kind, other: Kind): boolean {
  return one.key_usage === other.key_usage && typeOf(one) === typeOf(other);
}

type Kind = { customer_master_key_spec: string | null; key_usage: string | null };

function typeOf({ customer_master_key_spec: spec }: Kind): string {
  if (spec === null || spec === 'SYMMETRIC_DEFAULT') return 'symmetric';
  return spec.startsWith('HMAC_') ? 'HMAC' : 'asymmetric';
}
