/**
 * Names that another key has come to declare since a sync planned to change them. DeleteAlias names no key, and UpdateAlias takes a name
 * from whichever has it: each would take it from that key, which KMS may hold as declared by then.
 */
import type { Step } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import type { Services } from '../context.ts';
import { findClaims } from '../keys/aliases.ts';
import { neighboursOf } from '../keys/same-kms.ts';
import { ask } from '../rows/ask.ts';
import type { KeyRow } from '../rows/key-row.ts';

type Write = { operation: string; parameters: unknown };

/** The name that a write may take from another key; null: none. */
function nameTakenBy({ operation, parameters }: Write): string | null {
  const isTaking = operation === 'DeleteAlias' || operation === 'UpdateAlias';
  return isTaking ? (parameters as { AliasName: string }).AliasName : null;
}

async function declarersOf(services: Services, { id, provider }: KeyRow, name: string): Promise<string[]> {
  const { apart } = await neighboursOf(services, provider, [name]);
  const claims = await findClaims(services.database.prisma, { id, provider, apart }, [name]);
  return claims.map(({ key_ref }) => key_ref);
}

/** Right before a name is deleted. The sync of the key that declares it moves it. @throws KmsFailure */
export async function assertNobodyDeclares(services: Services, row: KeyRow, step: Step): Promise<void> {
  if (step.operation !== 'DeleteAlias') return;
  const { AliasName } = step.parameters;
  const [declarer] = await declarersOf(services, row, AliasName);
  if (declarer === undefined) return;
  const message = `${AliasName} is declared by another key by now; Keyward looks again at where it is`;
  throw new KmsFailure('fault', 'AliasTaken', message, step.operation, true);
}

/** After such writes were sent, and may have come too late: the keys that declare the names by now are looked at once more. */
export async function askDeclarers(services: Services, row: KeyRow, writes: readonly Write[]): Promise<void> {
  const names = writes.map(nameTakenBy).filter((name) => name !== null);
  const ids = await Promise.all(names.map((name) => declarersOf(services, row, name)));
  if (ids.flat().length === 0) return;
  for (const id of new Set(ids.flat())) {
    await services.database.prisma.$transaction((transaction) => ask(transaction, id, 'look'));
  }
  await services.failurePoints.pass('write-closed');
}
