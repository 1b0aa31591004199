/**
 * Revokes and retires grants. Both may be sent again: of a grant that is gone KMS says so, and who has sent such a call before
 * knows by that, and by the list of grants, what became of it.
 */
import { type ErrandEnd, grantIdOf, stepOf } from '../../domain/errands.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { findGrant } from '../../kms/grants.ts';
import type { KeyErrand } from '../rows/errands.ts';
import type { Sender, Way } from './errand.ts';

export const grantEnding: Way = {
  turn: (errand) => `grant ${grantIdOf(errand)}`,
  carryOut: async (sender, errand) => {
    const grant = await listed(sender, errand);
    try {
      await sender.apply(sender.key, stepOf(errand));
      return { grant };
    } catch (error) {
      if (error instanceof KmsFailure && error.certainlyNotDone && error.kind === 'not_found') {
        return asGone(sender, errand, error);
      }
      throw error;
    }
  },
};

function listed({ kms, key }: Sender, errand: KeyErrand) {
  return findGrant(kms, key.key_id, String(grantIdOf(errand)));
}

/** KMS says that there is no such grant: an earlier call has ended it, or there was none. @throws KmsFailure where it tells both. */
async function asGone(sender: Sender, errand: KeyErrand, refusal: KmsFailure): Promise<ErrandEnd> {
  const { code, operation } = refusal;
  if ((await listed(sender, errand)) !== null) {
    const message = `${refusal.message.replace(/[^.!?]$/, '$&.')} And yet ListGrants shows the grant; Keyward asks again`;
    throw new KmsFailure('fault', 'GrantUntold', message, operation, true);
  }
  if (await wasSentBefore(sender, errand)) return { grant: null };
  return { error: { code, message: refusal.message, operation } };
}

/**
 * Whether a call was to end the grant of which nobody can tell whether it took effect, or one did that no errand was settled with: ids of
 * grants never come back.
 */
async function wasSentBefore({ services }: Sender, errand: KeyErrand): Promise<boolean> {
  const grant = grantIdOf(errand);
  const [sent] = await services.database.prisma.$queryRaw<{ before: boolean }[]>`
    SELECT count(*) FILTER (WHERE outcome = 'unknown') > 0 OR count(*) FILTER (WHERE outcome = 'done') > (
      SELECT count(*) FROM errands
      WHERE key_ref = ${errand.key_ref}::uuid AND outcome = 'done' AND parameters ->> 'GrantId' = ${grant}) AS before
    FROM kms_writes
    WHERE key_ref = ${errand.key_ref}::uuid AND operation IN ('RevokeGrant', 'RetireGrant') AND parameters ->> 'GrantId' = ${grant}`;
  return sent?.before === true;
}
