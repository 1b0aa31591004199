/** The vocabulary of the pure core. Field names are those of Terraform's `aws_kms_key`. */

import type { KeySpec, KeyUsage } from './key-specs.ts';
import type { IgnoreTags } from './tags.ts';

/** Any JSON value, as JSON.parse gives it. */
export type Json = null | boolean | number | string | Json[] | { [member: string]: Json };

/** An IAM policy document. Its grammar is KMS's to judge; here it is only known to be an object. */
export type PolicyDocument = { [member: string]: Json };

/** Tag names and their values. */
export type Tags = Record<string, string>;

/** What is to become of a key: kept as declared, scheduled for deletion, or let go of and left in KMS. */
export type Lifecycle = 'managed' | 'pending_deletion' | 'released';

/** The arguments that KMS can never change once a key exists. */
export type ImmutableArguments = {
  key_usage: KeyUsage;
  customer_master_key_spec: KeySpec;
  custom_key_store_id: string | null;
  xks_key_id: string | null;
  multi_region: boolean;
};

/** The arguments of `aws_kms_key` with every default filled in: what an owner declared. */
export type KeyArguments = ImmutableArguments & {
  description: string;
  /** null: the policy is not managed, whichever one KMS holds is left in force. */
  policy: PolicyDocument | null;
  bypass_policy_lockout_safety_check: boolean;
  /** Days, 7 to 30. */
  deletion_window_in_days: number;
  is_enabled: boolean;
  enable_key_rotation: boolean;
  /** Days, 90 to 2560; null where enable_key_rotation is false, or KMS did not tell when the key was taken over. */
  rotation_period_in_days: number | null;
  tags: Tags;
};

/** What the planner aims at. */
export type DesiredKey = KeyArguments & {
  lifecycle: Lifecycle;
  /** `tags` over the provider's default tags; without the ownership tag and those that are ignored. */
  tags_all: Tags;
  ignore_tags: IgnoreTags;
  /** How KMS writes the policy, where that is otherwise than it is declared. */
  policy_form?: PolicyDocument;
  /** The ownership tag, which every managed key carries in KMS. */
  ownership_tag: { name: string; value: string };
};

/** KMS's KeyState values, as in the API reference; there may be others by now. */
export type KeyState =
  | 'Creating'
  | 'Enabled'
  | 'Disabled'
  | 'PendingDeletion'
  | 'PendingImport'
  | 'PendingReplicaDeletion'
  | 'Unavailable'
  | 'Updating';

/**
 * What KMS was seen to hold. null in a field that every key has: KMS did not tell. Tags are all of KMS's tags, the
 * ownership tag and any `aws:` tags among them.
 */
export type ObservedKey = {
  arn: string;
  key_id: string;
  key_state: KeyState;
  /** As last known: not every state tells. */
  enabled: boolean | null;
  /** AWS_KMS, EXTERNAL, AWS_CLOUDHSM or EXTERNAL_KEY_STORE. */
  origin: string | null;
  description: string | null;
  key_usage: KeyUsage | null;
  customer_master_key_spec: KeySpec | null;
  /** KMS tells it of a key in a store alone: whether null means none, `origin` tells. */
  custom_key_store_id: string | null;
  xks_key_id: string | null;
  multi_region: boolean;
  policy: PolicyDocument | null;
  /** null where rotation does not apply to the key. */
  rotation: Rotation | null;
  tags: Tags;
  /** RFC 3339; null unless KMS has set a date. */
  deletion_date: string | null;
};

/** Automatic rotation. null: KMS did not tell. A key that does not rotate has no period. */
export type Rotation = { enabled: boolean | null; period_in_days: number | null };

/** One KMS call of a plan. `field` names the argument that it brings in line. */
export type Step =
  | { operation: 'CreateKey'; field: null; parameters: CreateKeyParameters }
  | { operation: 'RotateKeyOnDemand'; field: null; parameters: Record<string, never> }
  | { operation: 'CancelKeyDeletion'; field: 'lifecycle'; parameters: Record<string, never> }
  | { operation: 'EnableKey' | 'DisableKey'; field: StepField; parameters: Record<string, never> }
  | {
      operation: 'EnableKeyRotation';
      field: 'enable_key_rotation' | 'rotation_period_in_days';
      /** Without a period KMS leaves the one that there is, or takes its own. */
      parameters: { RotationPeriodInDays?: number };
    }
  | { operation: 'DisableKeyRotation'; field: 'enable_key_rotation'; parameters: Record<string, never> }
  | { operation: 'UpdateKeyDescription'; field: 'description'; parameters: { Description: string } }
  | {
      operation: 'PutKeyPolicy';
      field: 'policy';
      parameters: { Policy: PolicyDocument; BypassPolicyLockoutSafetyCheck: boolean };
    }
  | { operation: 'UntagResource'; field: 'tags'; parameters: { TagKeys: string[] } }
  | { operation: 'TagResource'; field: 'tags'; parameters: { Tags: Tags } }
  | { operation: 'ScheduleKeyDeletion'; field: 'lifecycle'; parameters: { PendingWindowInDays: number } };

/** The field a step serves: `is_enabled`, or the rotation change that a key must be enabled for. */
export type StepField = 'is_enabled' | 'enable_key_rotation' | 'rotation_period_in_days';

/** Everything CreateKey can carry, so that one call makes the key and marks it as ours. */
export type CreateKeyParameters = {
  Description: string;
  KeyUsage: KeyUsage;
  KeySpec: KeySpec;
  Origin: 'AWS_KMS' | 'AWS_CLOUDHSM' | 'EXTERNAL_KEY_STORE';
  CustomKeyStoreId?: string;
  XksKeyId?: string;
  MultiRegion: boolean;
  Policy?: PolicyDocument;
  BypassPolicyLockoutSafetyCheck: boolean;
  /** With the ownership tag. */
  Tags: Tags;
};

/** One field in which KMS differs from what was declared. For tags, `field` is `tags.<name>`. */
export type Difference = { field: string; desired: Json; observed: Json };

/** A rule broken by input: where (RFC 6901 pointer into the body) and what would be right. */
export type Violation = { pointer: string; detail: string };
