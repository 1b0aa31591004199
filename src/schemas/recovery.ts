/** After a gap: what is held, what differs, and what to do about it. */
import { type Static, Type } from 'typebox';
import { InputError, nullable, page, ref, stringEnum, Timestamp } from './common.ts';

export const Recovery = Type.Object(
  {
    held: Type.Boolean({ description: 'Whether some keys are held: nothing is written to KMS for them.' }),
    reason: nullable(Type.String({ description: 'How it was noticed that the database is older than the world.' })),
    since: nullable(Timestamp),
    keys_total: Type.Integer(),
    keys_checked: Type.Integer({ description: 'Compared with KMS since, or asked for by a request.' }),
    keys_differing: Type.Integer({ description: 'Held until somebody decides.' }),
  },
  { $id: 'Recovery', additionalProperties: false },
);

const HeldDifference = Type.Object(
  {
    field: Type.String({ description: 'As in drift; key_id: the key itself; tags.<ownership tag>: it was let go of.' }),
    recorded: Type.Unsafe<unknown>({}),
    observed: Type.Unsafe<unknown>({}),
  },
  { $id: 'HeldDifference', additionalProperties: false },
);

const HeldKey = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    arn: nullable(Type.String({ description: 'As recorded.' })),
    provider: Type.String(),
    checked: Type.Boolean({ description: 'false: it was not compared with KMS yet.' }),
    differences: Type.Array(ref(HeldDifference)),
  },
  { $id: 'HeldKey', additionalProperties: false },
);

const HeldKeyList = Type.Object(
  { items: Type.Array(ref(HeldKey)), next_cursor: nullable(Type.String()) },
  { $id: 'HeldKeyList', additionalProperties: false },
);

/** The most ids in one request. */
const most = 1000;

export const RecoveryResume = Type.Object(
  {
    keys: Type.Unsafe<'all' | string[]>({
      anyOf: [
        { type: 'string', enum: ['all'] },
        { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: most },
      ],
      description: 'all: every key that was compared with KMS and differs; or the ids of some.',
    }),
    as: stringEnum(['observed', 'declared'], {
      description:
        'observed: what the report shows of KMS becomes the desired state; declared: KMS is brought in line.',
    }),
  },
  { $id: 'RecoveryResume', additionalProperties: false },
);

/** The most refusals that one answer tells of. */
export const mostRefusals = 100;

const RefusedResume = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    errors: Type.Array(ref(InputError), { description: 'Why what KMS has can not be declared.' }),
  },
  { $id: 'RefusedResume', additionalProperties: false },
);

const RecoveryResumed = Type.Object(
  {
    resumed: Type.Integer({ description: 'Keys that are no longer held.' }),
    not_checked: Type.Integer({ description: 'Keys that were asked for and not compared with KMS yet: ask again.' }),
    not_resumed: Type.Integer({
      description:
        'Keys that stay held, since what KMS has can not be declared: change them, or resume them as declared.',
    }),
    refused: Type.Array(ref(RefusedResume), { description: `Those keys; the first ${mostRefusals}.` }),
  },
  { $id: 'RecoveryResumed', additionalProperties: false },
);

export const HeldKeyQuery = Type.Object(
  {
    ...page,
  },
  { additionalProperties: false },
);

export type Recovery = Static<typeof Recovery>;
export type HeldKey = Static<typeof HeldKey>;
export type HeldKeyQuery = Static<typeof HeldKeyQuery>;
export type RecoveryResume = Static<typeof RecoveryResume>;
export type RecoveryResumed = Static<typeof RecoveryResumed>;

export const recoverySchemas = [
  Recovery,
  HeldDifference,
  HeldKey,
  HeldKeyList,
  RecoveryResume,
  RefusedResume,
  RecoveryResumed,
];
