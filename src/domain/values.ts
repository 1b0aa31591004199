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

/** What can be wrong with one thing of the input, for programs: each with what it means. */
export const violationCodes = {
  unknown_field: 'there is no such field',
  unknown_parameter: 'there is no such parameter',
  required: 'it is needed and not there',
  invalid_type: 'it is of another type',
  invalid_value: 'it is none of the values that there are',
  out_of_range: 'the number is too small or too large',
  too_short: 'the text or list is too short',
  too_long: 'the text is too long, or the document too large',
  too_many: 'there are too many',
  too_deep: 'it nests too deep',
  invalid_format: 'the text is not written as it must be',
  invalid_text: 'a text has a NUL character or half of a surrogate pair in it',
  duplicate_member: 'an object has two members of this name',
  inexact_number: 'the number would be rounded',
  reserved: 'the name is kept by AWS or by Keyward',
  immutable: 'KMS fixes it when the key is made: a replacement is needed',
  incompatible: 'it does not go with another field, or with what the key is',
  not_found: 'it names something that there is not',
  refused_by_kms: 'KMS refused it',
  invalid: 'it breaks another rule, which `detail` tells',
} as const;

export type ViolationCode = keyof typeof violationCodes;

/**
 * A rule broken by input: where (RFC 6901 pointer into the body, or into a line of it), which kind (absent: `invalid`), and what would
 * be right.
 */
export type Violation = { pointer: string; line?: number; code?: ViolationCode; detail: string };

/** What is wrong with one thing of the input, as callers are told. */
export type InputFault = { pointer?: string; line?: number; parameter?: string; code: ViolationCode; detail: string };

/** The same with a code, in the order in which people read it. */
export function inputFault({
  code = 'invalid',
  detail,
  ...place
}: Omit<InputFault, 'code'> & { code?: ViolationCode }) {
  return { ...place, code, detail };
}
