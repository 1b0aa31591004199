/** What was: the revisions of a key's desired state, and the events of everything that happened. */
import { type Static, Type } from 'typebox';
import { eventOrigins, revisionOrigins } from '../domain/events.ts';
import { KeyId, nullable, nullableRef, openEnum, page, pageOf, ref, timestamp } from './common.ts';
import { EventType, eventTypeNames } from './events.ts';
import { SyncError } from './key.ts';

export const outcomes = ['pending', 'held', 'superseded', 'refused'] as const;

export const Fields = Type.Unsafe<Record<string, unknown>>({
  $id: 'Fields',
  type: 'object',
  additionalProperties: true,
  description: 'Values by the names of fields.',
});

export const Change = Type.Object(
  {
    before: Type.Unsafe<unknown>({ description: 'As it was; null: it was not there.' }),
    after: Type.Unsafe<unknown>({ description: 'As it is; null: it is not there any more.' }),
  },
  { $id: 'Change', description: 'How one field changed.' },
);

export const Changes = Type.Unsafe<Record<string, Static<typeof Change>>>({
  $id: 'Changes',
  type: 'object',
  additionalProperties: ref(Change),
  description: 'What changed, by the names of fields.',
});

export const Revision = Type.Object(
  {
    generation: Type.Integer({ minimum: 1, description: 'Its number; grows with every accepted change.' }),
    origin: openEnum(revisionOrigins, { description: 'What was asked for. revert: a refused change taken back.' }),
    actor: Type.String({ description: 'Who asked; keyward for its own doing.' }),
    on_behalf_of: nullable(Type.String({ description: 'For whom the actor said that it acts.' })),
    request_id: Type.String({ description: 'X-Request-Id of the request.' }),
    changes: ref(Changes, { description: 'By field. A replacement tells both KMS keys under key_id and arn.' }),
    desired: ref(Fields, { description: 'The whole desired state of this generation.' }),
    outcome: openEnum(outcomes, {
      description: 'held: KMS held it; superseded: a newer generation came first; refused: KMS would not have it.',
    }),
    error: nullableRef(SyncError, { description: 'Why KMS would not have it; null: it did not say no.' }),
    created_at: timestamp('When it was recorded.'),
    settled_at: nullable(timestamp('When its outcome was known; null: it is not yet.')),
  },
  { $id: 'Revision', description: 'A desired state of a key: who asked for it, what it changed, how it ended.' },
);

export const RevisionList = pageOf(Revision, 'RevisionList', "a key's revisions");

export const Event = Type.Object(
  {
    id: Type.String({ description: 'Grows from event to event.' }),
    type: openEnum(eventTypeNames, { description: 'What happened: EventType says in words what each means.' }),
    key: nullable(
      Type.String({
        ...KeyId,
        description:
          "Keyward's id of the key, which may be gone; null: an event of a provider, or of the whole installation.",
      }),
    ),
    provider: nullable(
      Type.String({ description: 'The provider; null: an event of a key, or of the whole installation.' }),
    ),
    generation: Type.Integer({ description: 'Of the desired state that the event belongs to.' }),
    origin: nullable(openEnum(eventOrigins, { description: 'Where the change came from.' })),
    actor: Type.String({ description: 'Who did it; keyward for its own doing.' }),
    on_behalf_of: nullable(Type.String({ description: 'For whom the actor said that it acts.' })),
    address: nullable(Type.String({ description: 'Where the request came from.' })),
    user_agent: nullable(Type.String({ description: 'What the client called itself.' })),
    request_id: nullable(Type.String({ description: 'Of the request that the event goes back to.' })),
    before: nullableRef(Fields, { description: 'By field, where the event is a change.' }),
    after: nullableRef(Fields, { description: 'By field, where the event is a change.' }),
    data: ref(Fields, { description: 'What else belongs to an event of this type: docs/events.md.' }),
    created_at: timestamp('When it was recorded.'),
  },
  { $id: 'Event', description: 'Something that happened; events are never changed.' },
);

export const EventList = pageOf(Event, 'EventList', 'events');

/** The body of POST …/rollback. */
export const KeyRollback = Type.Object(
  { generation: Type.Integer({ minimum: 1, maximum: 2_147_483_647, description: 'The revision to go back to.' }) },
  { $id: 'KeyRollback', additionalProperties: false, description: 'Which revision to go back to.' },
);

const type = Type.Optional(ref(EventType));

export const PageQuery = Type.Object(page, { additionalProperties: false });
export const KeyEventQuery = Type.Object({ ...page, type }, { additionalProperties: false });
export const EventQuery = Type.Object(
  {
    ...page,
    type,
    key: Type.Optional(Type.String({ maxLength: 64, description: 'Only events of the key with this Keyward id.' })),
    provider: Type.Optional(Type.String({ maxLength: 64, description: "Only this provider's own events." })),
  },
  { additionalProperties: false },
);

export type Revision = Static<typeof Revision>;
export type RevisionList = Static<typeof RevisionList>;
export type Event = Static<typeof Event>;
export type EventList = Static<typeof EventList>;
export type PageQuery = Static<typeof PageQuery>;
export type EventQuery = Static<typeof EventQuery>;
export type KeyRollback = Static<typeof KeyRollback>;

export const historySchemas = [
  Fields,
  Change,
  Changes,
  Revision,
  RevisionList,
  EventType,
  Event,
  EventList,
  KeyRollback,
];
