/** A key's row in the words of the domain, and back. */
import { isDeepStrictEqual } from 'node:util';
import type { KeyRow } from '../../database/client.ts';
import { Prisma } from '../../database/client.ts';
import type { KeySpec, KeyUsage } from '../../domain/key-specs.ts';
import { enabledIn } from '../../domain/key-state.ts';
import type { PolicyForm } from '../../domain/policy-form.ts';
import { mergeTags, type TagSettings } from '../../domain/tags.ts';
import type { DesiredKey, KeyArguments, Lifecycle, ObservedKey, PolicyDocument, Tags } from '../../domain/types.ts';
import type { Drift, SyncError } from '../../schemas/key.ts';

/** All that an owner decides about a key: its arguments, and what Keyward is to do with it. */
export type DeclaredKey = KeyArguments & {
  drift_policy: 'enforce' | 'report' | 'adopt';
  deletion_protection: boolean;
  lifecycle: Lifecycle;
  /** Days; the window that DELETE asked for, or null for deletion_window_in_days. */
  pending_window_in_days: number | null;
};

/** What the row declares. */
export function declaredOf(row: KeyRow): DeclaredKey {
  return {
    description: row.description,
    key_usage: row.key_usage as KeyUsage,
    customer_master_key_spec: row.customer_master_key_spec as KeySpec,
    custom_key_store_id: row.custom_key_store_id,
    xks_key_id: row.xks_key_id,
    multi_region: row.multi_region,
    policy: row.policy as PolicyDocument | null,
    bypass_policy_lockout_safety_check: row.bypass_policy_lockout_safety_check,
    deletion_window_in_days: row.deletion_window_in_days,
    is_enabled: row.is_enabled,
    enable_key_rotation: row.enable_key_rotation,
    rotation_period_in_days: row.rotation_period_in_days,
    tags: row.tags as Tags,
    drift_policy: row.drift_policy as DeclaredKey['drift_policy'],
    deletion_protection: row.deletion_protection,
    lifecycle: row.lifecycle as Lifecycle,
    pending_window_in_days: row.pending_window_in_days,
  };
}

/** The columns of a declared key. @param settings of its provider. */
export function columnsOf(declared: DeclaredKey, settings: TagSettings) {
  return {
    ...declared,
    policy: declared.policy === null ? Prisma.DbNull : (declared.policy as Prisma.InputJsonObject),
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

/** What is on record of the key in KMS. An older record does not say whether the key is enabled: its state does. */
export function observedOf(row: KeyRow): ObservedKey | null {
  const recorded = row.observed as ObservedKey | null;
  return recorded === null ? null : { ...recorded, enabled: recorded.enabled ?? enabledIn(recorded.key_state) };
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
