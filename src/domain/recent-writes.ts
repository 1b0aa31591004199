/** Reads of KMS may be older than a write that it has carried out: what was written a moment ago is believed instead. */
import { afterStep } from './after-step.ts';
import { isPendingDeletion } from './planner.ts';
import type { CreateKeyParameters, ObservedKey, Step } from './types.ts';

/** A write that KMS has carried out. */
export type RecentWrite = { operation: string; parameters: unknown; finished_at: Date };

const day = 86_400_000;

/**
 * The key as it is, given a read that may show it as it was.
 * @param writes those within the settling time, oldest first.
 */
export function withRecentWrites(observed: ObservedKey, writes: RecentWrite[]): ObservedKey {
  return writes.reduce(withWrite, observed);
}

function withWrite(key: ObservedKey, { operation, parameters, finished_at }: RecentWrite): ObservedKey {
  if (operation === 'CreateKey') return withCreation(key, parameters as CreateKeyParameters);
  const step = { operation, parameters } as Exclude<Step, { operation: 'CreateKey' }>;
  switch (step.operation) {
    case 'ScheduleKeyDeletion': {
      if (isPendingDeletion(key)) return key;
      const date = new Date(finished_at.getTime() + step.parameters.PendingWindowInDays * day);
      return afterStep(key, step, date.toISOString());
    }
    case 'CancelKeyDeletion':
      return isPendingDeletion(key) ? afterStep(key, step) : key;
    default:
      return afterStep(key, step);
  }
}

/** A new key may be seen without its tags. */
function withCreation(key: ObservedKey, { Description, Policy, Tags }: CreateKeyParameters): ObservedKey {
  return { ...key, description: Description, policy: Policy ?? key.policy, tags: { ...Tags } };
}
