/** Writes what is put on record of a generation: its revision, and the event. */
import type { Transaction } from '../../database/client.ts';
import { insertAll } from '../../database/insert.ts';
import type { TakenAlias } from '../../domain/aliases.ts';
import { changedFields } from '../../domain/changes.ts';
import type { KeyEvent, RevisionOrigin } from '../../domain/events.ts';
import type { PolicyDocument } from '../../domain/types.ts';
import type { Actor } from '../context.ts';
import { recordEvents } from '../history/log.ts';
import type { DeclaredKey } from '../rows/declared.ts';

/** Who asks; `commandId` is the same for every run of one command. */
export type Asker = Actor & { commandId?: string | undefined };

type RevisionRecord = {
  keyId: string;
  generation: number;
  origin: RevisionOrigin;
  declared: DeclaredKey;
  before?: DeclaredKey;
  /** The policy that was in force, where none was declared. */
  policyBefore?: PolicyDocument | null;
  /** Aliases of other keys; null: it was not asked to take any. */
  taken?: TakenAlias[] | null | undefined;
};

/** Writes a revision and its event. */
export function recordRevision(
  transaction: Transaction,
  revision: RevisionRecord,
  by: Omit<Asker, 'rights'>,
): Promise<void> {
  return recordRevisions(transaction, [revision], by);
}

/** Writes several, of as many keys. */
export async function recordRevisions(
  transaction: Transaction,
  revisions: RevisionRecord[],
  by: Omit<Asker, 'rights'>,
): Promise<void> {
  const changed = revisions.map((revision) => {
    return { ...revision, changes: changedFields(revision.before ?? null, revision.declared) };
  });
  const rows = changed.map(({ keyId, generation, origin, declared, changes, policyBefore, taken }) => ({
    key_ref: keyId,
    generation,
    desired: declared,
    policy_before: policyBefore ?? null,
    changes,
    origin,
    actor: by.actor,
    on_behalf_of: by.onBehalfOf ?? null,
    request_id: by.requestId,
    command_id: by.commandId ?? null,
    aliases_taken: taken ?? null,
  }));
  await insertAll(transaction, 'revisions', rows);
  const events = changed.map(({ keyId, generation, origin, changes }): KeyEvent => {
    return { type: 'desired_state.changed', key: { id: keyId, generation }, data: { origin, changes } };
  });
  await recordEvents(transaction, events, by);
}
