/** What can become of a key that is to be imported, and why. */

/** How each key of an import ends; `waiting`: it has not. */
export const importOutcomes = ['waiting', 'imported', 'already_managed', 'skipped', 'failed'] as const;
export type ImportOutcome = (typeof importOutcomes)[number];

/** done: every key has its outcome. failed: the keys could not be listed. */
export const importStates = ['running', 'done', 'cancelled', 'failed'] as const;

/** By its code: how the key ends, and what it says. */
export const importReasons = {
  already_managed: { outcome: 'already_managed', means: 'a record has the key already' },
  aws_managed: { outcome: 'skipped', means: 'an AWS managed key, which only AWS can change' },
  pending_deletion: { outcome: 'skipped', means: 'pending deletion' },
  state_unclear: {
    outcome: 'skipped',
    means: 'in a state that does not tell whether it is enabled, such as Unavailable',
  },
  former_key: { outcome: 'skipped', means: 'being replaced, or to be deleted, as a former key of a record' },
  filtered: { outcome: 'skipped', means: 'none of those that were asked for' },
  data_source: { outcome: 'skipped', means: 'a data source of the state, which Terraform only reads' },
  deposed: { outcome: 'skipped', means: 'an object of the state that Terraform was about to destroy' },
  cancelled: { outcome: 'skipped', means: 'the import was cancelled before its turn came' },
  not_found: { outcome: 'failed', means: 'KMS has no such key, or none that the caller may import' },
  elsewhere: { outcome: 'failed', means: 'of another account or Region than the provider' },
  no_provider: { outcome: 'failed', means: 'no provider is for its account and Region' },
  several_providers: { outcome: 'failed', means: 'more than one provider is for its account and Region' },
  no_arn: { outcome: 'failed', means: 'the state does not tell its ARN' },
  claimed: { outcome: 'failed', means: "it carries the ownership tag of another record's key" },
  too_many_tags: { outcome: 'failed', means: 'it has no room for the ownership tag' },
  untold: { outcome: 'failed', means: 'KMS does not tell all that has to be declared' },
  invalid: { outcome: 'failed', means: 'what would be declared breaks a rule' },
  forbidden: { outcome: 'failed', means: 'whoever asked for the import may not import it' },
  refused: { outcome: 'failed', means: 'KMS refused to tell of it' },
  unavailable: { outcome: 'failed', means: 'KMS could not be asked, however often that was tried' },
} as const satisfies Record<string, { outcome: Exclude<ImportOutcome, 'waiting' | 'imported'>; means: string }>;

export type ImportReasonCode = keyof typeof importReasons;
export const importReasonCodes = Object.keys(importReasons) as ImportReasonCode[];

/** Which of all keys are asked for. A key has to have all of the tags. */
export type ImportFilters = { tags?: Record<string, string>; created_after?: string; key_usage?: string };

/** Why a key is none of those that are asked for, by what DescribeKey tells; null: it may be one. */
export function passedOver(
  { created_after, key_usage }: ImportFilters,
  key: { key_usage: string | null; created_at: Date | null },
): string | null {
  if (key_usage !== undefined && key.key_usage !== key_usage) return `Its key_usage is ${key.key_usage}.`;
  if (created_after === undefined) return null;
  const isLater = key.created_at !== null && key.created_at.getTime() > Date.parse(created_after);
  return isLater ? null : `It was created ${key.created_at?.toISOString() ?? 'nobody knows when'}.`;
}

/** The same by its tags. */
export function lackingTag({ tags = {} }: ImportFilters, has: Readonly<Record<string, string>>): string | null {
  const lacking = Object.entries(tags).find(([name, value]) => !Object.hasOwn(has, name) || has[name] !== value);
  return lacking === undefined ? null : `It does not have the tag ${lacking[0]}=${lacking[1]}.`;
}
