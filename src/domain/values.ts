/** What arguments, observations and rules are made of. */

/** Any JSON value, as JSON.parse gives it. */
export type Json = null | boolean | number | string | Json[] | { [member: string]: Json };

/** An IAM policy document. Its grammar is KMS's to judge; here it is only known to be an object. */
export type PolicyDocument = { [member: string]: Json };

/** Tag names and their values. */
export type Tags = Record<string, string>;

/** What is to become of a key: kept as declared, scheduled for deletion, or let go of and left in KMS. */
export type Lifecycle = 'managed' | 'pending_deletion' | 'released';

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

/** Automatic rotation. null: KMS did not tell. A key that does not rotate has no period. */
export type Rotation = { enabled: boolean | null; period_in_days: number | null };

/** One field in which KMS differs from what was declared. For tags, `field` is `tags.<name>`. */
export type Difference = { field: string; desired: Json; observed: Json };

/** A rule broken by input: where (RFC 6901 pointer into the body) and what would be right. */
export type Violation = { pointer: string; detail: string };
