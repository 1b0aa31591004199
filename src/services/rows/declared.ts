/** A key's row in the words of the domain, and back. */
import { isDeepStrictEqual } from 'node:util';
import type { Revision } from '../../database/client.ts';
import { Prisma } from '../../database/client.ts';
import { type DeclaredKey, nothingDeclared, nothingTold } from '../../domain/arguments.ts';
import { enabledIn } from '../../domain/key-state.ts';
import type { PolicyForm } from '../../domain/policy-form.ts';
import { mergeTags, type TagSettings } from '../../domain/tags.ts';
import type { DesiredKey, ObservedKey, Tags } from '../../domain/types.ts';
import type { Drift, SyncError } from '../../schemas/key.ts';
import type { KeyRow } from './key-row.ts';

export type { DeclaredKey };

const declaredNames = Object.keys(nothingDeclared) as (keyof DeclaredKey)[];

/** A column for each argument, which is null only where the argument may be. Of JSON, the type of the column does not tell. */
type Columns = {
  [Name in keyof DeclaredKey]: null extends DeclaredKey[Name]
    ? unknown
    : Name extends 'tags'
      ? unknown
      : NonNullable<unknown>;
};

/** What the row declares. */
export function declaredOf(row: KeyRow): DeclaredKey {
  const columns: Columns = row;
  return Object.fromEntries(declaredNames.map((name) => [name, columns[name]])) as DeclaredKey;
}

/** What a revision declared. One that is older than an argument left it at its default. */
export function declaredIn({ desired }: Pick<Revision, 'desired'>): DeclaredKey {
  return { ...nothingDeclared, ...(desired as unknown as Partial<DeclaredKey>) };
}

/** The columns of a declared key. @param settings of its provider. */
export function columnsOf(declared: DeclaredKey, settings: TagSettings) {
  return {
    ...declared,
    policy: declared.policy === null ? Prisma.DbNull : (declared.policy as Prisma.InputJsonObject),
    aliases: declared.aliases ?? Prisma.DbNull,
    tags_all: mergeTags(settings, declared.tags),
  };
}

/** What the planner aims at for this row. @param settings of its provider. */
export function desiredOf(row: KeyRow, settings: TagSettings, ownershipTagName: string): DesiredKey {
  return { ...desiredBy(row, declaredOf(row), settings, ownershipTagName), tags_all: row.tags_all as Tags };
}

/** What the planner would aim at if the row declared this. @param settings of its provider. */
export function desiredBy(
  { id, policy_form }: Pick<KeyRow, 'id'> & Partial<Pick<KeyRow, 'policy_form'>>,
  declared: DeclaredKey,
  settings: TagSettings,
  ownershipTagName: string,
): DesiredKey {
  const form = policyFormOf({ policy_form: policy_form ?? null, policy: declared.policy });
  return {
    ...declared,
    ...(form === null ? {} : { policy_form: form.rendered }),
    deletion_window_in_days: declared.pending_window_in_days ?? declared.deletion_window_in_days,
    tags_all: mergeTags(settings, declared.tags),
    ignore_tags: settings.ignore_tags,
    ownership_tag: { name: ownershipTagName, value: id },
  };
}

/** What is on record of the key in KMS. */
export function observedOf({ observed }: Pick<KeyRow, 'observed'>): ObservedKey | null {
  return observed === null ? null : observedIn(observed as ObservedKey);
}

/** An observation on record. An older one does not say whether the key is enabled: its state does. */
export function observedIn(recorded: ObservedKey): ObservedKey {
  return { ...nothingTold, ...recorded, enabled: recorded.enabled ?? enabledIn(recorded.key_state) };
}

/** How KMS writes the policy that is declared now; null: as it is declared, as far as is known. */
export function policyFormOf({ policy_form, policy }: Pick<KeyRow, 'policy_form' | 'policy'>): PolicyForm | null {
  const form = policy_form as PolicyForm | null;
  return form !== null && isDeepStrictEqual(form.declared, policy) ? form : null;
}

/** Names of tags that a change of the provider's settings has changed and KMS may not hold yet. */
export function dueTagNames(row: KeyRow): string[] {
  return (row.default_tags_due as string[] | null) ?? [];
}

export function driftOf(row: KeyRow): Drift[] {
  return row.drift as Drift[];
}

export function errorOf(row: KeyRow): SyncError | null {
  return row.error === null ? null : ({ operation: null, ...(row.error as Partial<SyncError>) } as SyncError);
}
