/**
 * Whether a KMS keeps the tags that CreateKey gives a key. Finding a key again by its ownership tag rests on it (I3), so the
 * tag of one key is read before a second one is made.
 */

import { makingOperations } from '../../domain/operations.ts';
import type { ObservedKey, Tags } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { readTags } from '../../kms/observe.ts';
import { currentUrgency } from '../../kms/urgency.ts';
import type { Services } from '../context.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isNewlyMade } from '../rows/predicates.ts';
import { CreationUnsettled, ownershipTagsIn } from './creation.ts';
import { isMadeByUs } from './journal.ts';
import { timeToLose } from './lost.ts';

/** The code of the error of a key that KMS has made without its tags, and of those that are not made for it. */
export const tagsNotKept = 'TagsNotKept';

/** Looks that it takes at least until a tag is taken for dropped. */
const fewestLooks = 3;

/**
 * Before CreateKey: lets one key at a time be made until one has told that tags are kept.
 * @throws CreationUnsettled while another one is to tell, KmsFailure when it has told that they are not.
 */
export async function assertMayCreate(services: Services, kms: Kms, { id }: KeyRow): Promise<void> {
  const trial = services.tagTrialOf(kms);
  while (!trial.isKept && !services.failurePoints.isOff('tags-are-believed')) {
    if (trial.dropped !== null) throw notKept(services, trial.dropped, 'None is made there.');
    const other = trial.enter(id, longestTrial(services));
    if (other === null) return;
    if (other.looks > 0) throw unseen(services, 'the first key that was made here', other.until);
    await currentUrgency().waitFor(other.looked.promise);
  }
}

/**
 * After CreateKey, and at each look until KMS holds the key: its tags tell.
 * @param tags as they were read; undefined: they are to be.
 * @throws CreationUnsettled while a read may be older than the key, KmsFailure when KMS has dropped the tags.
 */
export async function assertTagsKept(
  services: Services,
  kms: Kms,
  row: KeyRow,
  { arn, key_id }: Pick<ObservedKey, 'arn' | 'key_id'>,
  tags?: Tags,
): Promise<void> {
  const trial = services.tagTrialOf(kms);
  if (trial.isKept || !isNewlyMade(row) || services.failurePoints.isOff('tags-are-believed')) return;
  // What the tags of other keys tell may be of others.
  if (!(await isMadeByUs(services, row.id, key_id))) return;
  const read = tags ?? (await readTags(kms, key_id).catch(asNone));
  const names = [services.ownershipTagName, ...(await namesThen(services, row, key_id))];
  if (names.some((name) => read[name] === row.id)) return trial.settle(arn, true);
  if (trial.dropped !== null) throw notKept(services, arn, 'It is left as it is.');
  const other = trial.enter(row.id, longestTrial(services));
  if (other !== null) throw unseen(services, arn, other.until);
  const { looks, milliseconds } = trial.lookedAt(longestTrial(services));
  const left = timeToLose(services.times) - milliseconds;
  if (left > 0 || looks < fewestLooks) throw unseen(services, arn, performance.now() + left);
  trial.settle(arn, false);
  throw notKept(services, arn, 'It is left as it is.');
}

/** The names of the tags by which CreateKey marked the key. */
async function namesThen({ database }: Services, { id }: KeyRow, keyId: string): Promise<string[]> {
  const made = { key_ref: id, operation: { in: [...makingOperations] }, made_key_id: keyId };
  const writes = await database.prisma.kmsWrite.findMany({ where: made, select: { parameters: true } });
  return writes.flatMap(({ parameters }) => ownershipTagsIn(parameters, id));
}

/** Milliseconds after which others wait no longer for a key that does not tell. */
function longestTrial({ times }: Services): number {
  return times.write.landsWithin + timeToLose(times);
}

/** A new key may not be seen yet. */
function asNone(error: unknown): Tags {
  if (error instanceof KmsFailure && error.kind === 'not_found') return {};
  throw error;
}

function unseen({ now }: Services, whose: string, until: number): CreationUnsettled {
  const message = `Keyward waits for ${whose} to show the ownership tag that CreateKey gave it, before it relies on that`;
  return new CreationUnsettled(new Date(now() + until - performance.now()), message, 'TagsNotSeen');
}

function notKept({ ownershipTagName: name }: Services, arn: string, aftermath: string): KmsFailure {
  const words = `${arn} was made with the tag ${name} and does not have it: this KMS drops the tags that CreateKey gives, without which Keyward can't find a key again whose making it lost sight of.`;
  return new KmsFailure('refused', tagsNotKept, `${words} ${aftermath}`, 'CreateKey', true);
}
