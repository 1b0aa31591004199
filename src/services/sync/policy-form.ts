/**
 * What KMS makes of a policy that it was just given. A principal's unique id that shows right after Keyward's own write is
 * how KMS writes the policy, and would be written again at every refresh for ever; one that shows later is that of a
 * principal that is gone, and drift.
 */
import { isDeepStrictEqual } from 'node:util';
import { Prisma } from '../../database/client.ts';
import { makesKey } from '../../domain/operations.ts';
import { isRendering, mayBeRendered, type PolicyForm } from '../../domain/policy-form.ts';
import { partitionIn } from '../../domain/regions.ts';
import type { ObservedKey, PolicyDocument, Step } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { readPolicy } from '../../kms/observe.ts';
import type { Services } from '../context.ts';
import { policyFormOf } from '../rows/declared.ts';
import { writeRow } from '../rows/write.ts';
import { recordRest } from './journal.ts';
import type { Work } from './lease.ts';
import { findRecentWrites } from './open-writes.ts';

/** After a write that KMS confirmed: reads the policy back, and notes how KMS writes it. */
export async function notePolicyForm(services: Services, kms: Kms, work: Work, key: ObservedKey, step: Step) {
  const declared = policyWrittenBy(step);
  if (declared === undefined) return;
  if (mayBeRendered(declared)) await recordRest(services, work.lease);
  const shown = mayBeRendered(declared) ? await readBack(kms, key.key_id) : null;
  const isForm = shown !== null && isRendering(declared, shown, partitionIn(key.arn));
  await record(services, work, isForm ? { declared, rendered: shown, confirmed: false } : null);
}

function policyWrittenBy({ parameters }: Step): PolicyDocument | undefined {
  return 'Policy' in parameters ? parameters.Policy : undefined;
}

/** What can't be read back is no reason to take anything back: the next look will tell. */
async function readBack(kms: Kms, keyId: string): Promise<PolicyDocument | null> {
  try {
    return await readPolicy(kms, keyId);
  } catch (error) {
    if (error instanceof KmsFailure) return null;
    throw error;
  }
}

/**
 * The first look past the settling time confirms what was read back right after the write, or shows that it was an older
 * policy.
 * @returns the work with the row as it is then.
 */
export async function settlePolicyForm(services: Services, work: Work, observed: ObservedKey): Promise<Work> {
  const { row } = work;
  const form = policyFormOf(row);
  if (form === null || form.confirmed) return work;
  const writes = await findRecentWrites(services, row.id);
  if (writes.some(({ operation }) => operation === 'PutKeyPolicy' || makesKey(operation))) return work;
  const isAlike = isDeepStrictEqual(form.rendered, observed.policy);
  return record(services, work, isAlike ? { ...form, confirmed: true } : null);
}

async function record({ database }: Services, work: Work, form: PolicyForm | null): Promise<Work> {
  const { row, lease } = work;
  if (form === null && row.policy_form === null) return work;
  const policy_form = form === null ? Prisma.DbNull : (form as unknown as Prisma.InputJsonObject);
  const recorded = await database.prisma.$transaction((transaction) =>
    writeRow(transaction, lease.fence, { policy_form }),
  );
  return recorded === null ? work : { ...work, row: { ...row, policy_form: recorded.policy_form } };
}
