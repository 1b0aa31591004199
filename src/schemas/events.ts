/** The types of events in words: for the OpenAPI document, and for docs/events.md (`npm run docs`). */
import type { EventData, EventType as NameOfType } from '../domain/events.ts';
import { stringEnum } from './common.ts';

/** When an event is written, and what each member of its data says. */
type Described<Name extends NameOfType> = { when: string; data: { [Member in keyof EventData[Name]]-?: string } };

const changes = 'by field: `before` and `after`';
const drift = 'the fields: `field`, `desired`, `observed`, `since`';
const arn = 'the ARN in KMS';
const arnOrNull = 'the ARN in KMS; null: KMS never had the key';
const arnOnRecord = "the ARN of the record's own key; null: it has none";
const origin = 'what was asked for, as in the revision';
const asked = {
  operation: 'the operationId',
  method: 'of the request',
  path: 'of the request, without its parameters',
};
const rotation = { origin: '`rotate`', rotation_id: 'which request it belongs to' };

const grantEnd = {
  operation: '`RevokeGrant` or `RetireGrant`',
  grant_id: 'the id of the grant',
  request: 'which request it belongs to',
};
const grantEnded = {
  ...grantEnd,
  grant: 'what it granted to whom, as KMS listed it right before; null: KMS did not list it',
};

const ofImport = {
  import: 'its id',
  source: '`key_ids`, `all` or `terraform_state`',
  dry_run: 'whether it only tells what would be done',
};

/** Every type, in the order in which people look for them. A type or a member that is not described is a type error. */
export const eventTypes = {
  'desired_state.changed': {
    when: 'What is wanted of a key has changed: a revision was recorded.',
    data: { origin, changes },
  },
  'kms.write': {
    when: 'The outcome of a write to KMS became known, or that nobody can know it.',
    data: {
      operation: "KMS's name of the call",
      parameters: 'what was sent',
      outcome: '`done`, `refused`, `not_done` (it surely had no effect) or `unknown`',
      cause: '`provider`: it carries out a change of the settings of the provider; absent: it does not',
      origin: '`drift`: it puts drift right; absent: it serves the generation',
      before: 'the fields that it changes, as they were; absent: there was no key yet, or nothing is known of them',
      error: '`code` and `message` of KMS; absent: there was none',
    },
  },
  'sync.requested': {
    when: 'Somebody asked that KMS is put right now (`POST …/sync`).',
    data: { origin: '`sync`' },
  },
  'sync.failed': {
    when: 'KMS does not take what is wanted, and it is not tried again until somebody changes something.',
    data: { operation: 'the call that failed', code: "KMS's error", message: "KMS's words" },
  },
  'drift.detected': { when: 'Somebody else changed fields of a key in KMS.', data: { drift } },
  'drift.resolved': {
    when: 'Fields that had drifted are as declared again, are declared as they are, or are gone with the KMS key.',
    data: { drift: `${drift}; \`desired\` is what is declared by then, null when the KMS key is gone` },
  },
  'key.found': {
    when: "KMS has a record's key that the database did not know of, or that was lost and is there again.",
    data: { arn },
  },
  'key.stray': {
    when: "KMS has a key that carries a record's ownership tag, or was made for the record, beside the record's own. It is left alone.",
    data: { arn, arn_on_record: arnOnRecord },
  },
  'key.resolved': {
    when: "An operator said whether a KMS key is the record's (`POST …/resolve`).",
    data: { arn, key_id: "the key's id in KMS", is_mine: "whether it is the record's" },
  },
  'key.replaced': {
    when: 'A new KMS key took the place of the old one.',
    data: { origin, changes: '`key_id` and `arn`: `before` and `after`' },
  },
  'key.recreated': {
    when: 'A new KMS key took the place of one that was gone from KMS.',
    data: { origin, changes: '`key_id` and `arn`: `before` and `after`', warning: 'which data is lost' },
  },
  'key.role_changed': {
    when: 'A key of a multi-Region family became its primary key, or a replica of another one.',
    data: {
      origin: '`promote`: it was asked for; `drift`: somebody did it outside',
      role: '`primary` or `replica`, by now',
      changes: '`replica_of`: `before` and `after`, ids of records; null: none that you may see',
    },
  },
  'key.deleted': { when: 'KMS has deleted the key at the end of its waiting period.', data: { arn: arnOrNull } },
  'key.released': { when: 'The key was let go of: KMS has it, Keyward no record.', data: { arn: arnOrNull } },
  'key.removed': { when: 'The record of a key that KMS never had was removed.', data: { arn: arnOrNull } },
  'key.grant_end_requested': { when: 'Somebody asked to have a grant revoked or retired.', data: grantEnd },
  'key.grant_revoked': { when: 'KMS has revoked a grant because somebody asked for it.', data: grantEnded },
  'key.grant_retired': { when: 'KMS has retired a grant because somebody asked for it.', data: grantEnded },
  'key.grant_end_refused': {
    when: 'A grant will not be revoked, or retired: KMS refused, or has no such grant.',
    data: { ...grantEnd, error: '`code`, `message` and, where there was a call, `operation`' },
  },
  'rotation.requested': { when: 'A rotation on demand was asked for.', data: rotation },
  'rotation.done': { when: 'KMS has rotated the key on demand.', data: rotation },
  'rotation.refused': {
    when: 'A rotation on demand will not be done.',
    data: { ...rotation, error: '`code`, `message` and, where there was a call, `operation`' },
  },
  'unmanaged_key.found': {
    when: "A key in KMS carries Keyward's ownership tag with the id in `key`, and no record names it.",
    data: { arn, provider: 'the provider that sees it', arn_on_record: arnOnRecord },
  },
  'import.started': { when: 'Somebody asked for many keys to be imported.', data: ofImport },
  'import.finished': {
    when: 'Each of these keys has its outcome, or they could not be listed.',
    data: { ...ofImport, state: '`done` or `failed`', counts: 'how many keys ended how' },
  },
  'import.cancelled': {
    when: 'Somebody ended an import before its end.',
    data: { ...ofImport, counts: 'how many keys ended how' },
  },
  'provider.created': { when: 'A provider was made.', data: { changes } },
  'provider.updated': { when: 'The settings of a provider have changed.', data: { changes } },
  'provider.deleted': { when: 'A provider was deleted.', data: { changes } },
  'token.created': {
    when: 'An API token was made.',
    data: { name: 'its name', expires_at: 'when it ends; null: never' },
  },
  'token.revoked': { when: 'An API token was revoked.', data: { name: 'its name' } },
  'role.changed': { when: 'A role was made or changed.', data: { name: 'its name', changes } },
  'role.deleted': { when: 'A role was deleted.', data: { name: 'its name', changes } },
  'binding.created': { when: 'A role was given to somebody.', data: { binding: 'the role, to whom, and its limits' } },
  'binding.deleted': {
    when: 'A role was taken from somebody.',
    data: { binding: 'the role, from whom, and its limits' },
  },
  'access.refused': {
    when: 'A known caller asked for what it may not do, or for a change that was not begun or not made: of what is not there or not seen, against a rule, a condition or the state of things. At most 60 a minute of each caller and kind.',
    data: { ...asked, status: 'what was answered' },
  },
  'access.sign_in_failed': {
    when: 'Credentials were given that are not valid. At most 60 a minute from each address. They are not told.',
    data: asked,
  },
  'access.events_read': {
    when: 'A known caller has read events. Once a minute for the same filters.',
    data: { path: 'which list', filters: 'the parameters, without those of the page' },
  },
  'recovery.gap': {
    when: 'The database was found to be older than the world: all keys are held.',
    data: { reason: 'how that was noticed', gap: 'the number of the gap, which grows' },
  },
  'recovery.resumed': {
    when: 'Somebody decided on a key that was held.',
    data: {
      as: '`observed`: what KMS has is kept; `declared`: what is declared is enforced',
      differences: 'the fields: `field`, `recorded`, `observed`',
    },
  },
} as const satisfies { [Name in NameOfType]: Described<Name> };

export const eventTypeNames = Object.keys(eventTypes) as NameOfType[];

export const EventType = stringEnum(eventTypeNames, {
  $id: 'EventType',
  description: eventTypeNames.map((type) => `${type}: ${eventTypes[type].when}`).join('\n'),
});
