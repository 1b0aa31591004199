/** After a gap: what is held, what differs, and what to do about it. */
import { type Static, Type } from 'typebox';
import { InputError, KeyId, nullable, page, pageOf, ref, stringEnum, timestamp } from './common.ts';

export const Recovery = Type.Object(
  {
    held: Type.Boolean({ description: 'Whether some keys are held: nothing is written to KMS for them.' }),
    reason: nullable(Type.String({ description: 'How it was noticed that the database is older than the world.' })),
    since: nullable(timestamp('When it was noticed.')),
    keys_total: Type.Integer({ description: 'Keys that there are.' }),
    keys_checked: Type.Integer({ description: 'Compared with KMS since, or asked for by a request.' }),
    keys_differing: Type.Integer({ description: 'Held until somebody decides.' }),
  },
  { $id: 'Recovery', description: 'Whether keys are held, and how far the comparison with KMS has come.' },
);

const HeldDifference = Type.Object(
  {
    field: Type.String({
      description: 'As in drift; key_id: the key itself; `tags.<ownership tag>`: it was let go of.',
    }),
    recorded: Type.Unsafe<unknown>({ description: 'As the database has it; null: it does not.' }),
    observed: Type.Unsafe<unknown>({ description: 'As KMS has it; null: it does not.' }),
  },
  { $id: 'HeldDifference', description: 'A field in which KMS differs from what was last recorded.' },
);

const HeldKey = Type.Object(
  {
    id: Type.String({ ...KeyId, description: "Keyward's id of the key." }),
    arn: nullable(Type.String({ description: 'As recorded.' })),
    provider: Type.String({ description: 'Its provider.' }),
    checked: Type.Boolean({ description: 'false: it was not compared with KMS yet.' }),
    differences: Type.Array(ref(HeldDifference), { description: 'What differs; none before it was compared.' }),
  },
  { $id: 'HeldKey', description: 'A key for which nothing is written to KMS.' },
);

const HeldKeyList = pageOf(HeldKey, 'HeldKeyList', 'keys that are held');

/** The most ids in one request. */
const most = 1000;

const ResumeAs = stringEnum(['observed', 'declared'], {
  $id: 'ResumeAs',
  description: 'observed: what the report shows of KMS becomes the desired state; declared: KMS is brought in line.',
});
const AllKeys = stringEnum(['all'], { $id: 'AllKeys', description: 'Every key that was compared and differs.' });

const ResumeAllKeys = Type.Object(
  { keys: ref(AllKeys), as: ref(ResumeAs) },
  {
    $id: 'ResumeAllKeys',
    additionalProperties: false,
    description: 'All keys that were compared and differ, and how to go on.',
  },
);

const ResumeSomeKeys = Type.Object(
  {
    keys: Type.Array(Type.String(), { minItems: 1, maxItems: most, description: "Keyward's ids of the keys." }),
    as: ref(ResumeAs),
  },
  { $id: 'ResumeSomeKeys', additionalProperties: false, description: 'Some held keys, and how to go on.' },
);

/** Two objects, and not one with two types of keys: what is made for Java does not compile where a list is one of two choices. */
export const RecoveryResume = Type.Unsafe<Static<typeof ResumeAllKeys> | Static<typeof ResumeSomeKeys>>({
  $id: 'RecoveryResume',
  anyOf: [ref(ResumeAllKeys), ref(ResumeSomeKeys)],
  description: 'Which held keys to go on with, and how.',
});

/** The most refusals that one answer tells of. */
export const mostRefusals = 100;

const RefusedResume = Type.Object(
  {
    id: Type.String({ ...KeyId, description: "Keyward's id of the key." }),
    errors: Type.Array(ref(InputError), { description: 'Why what KMS has can not be declared.' }),
  },
  { $id: 'RefusedResume', description: 'A key that stays held.' },
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
  { $id: 'RecoveryResumed', description: 'What became of the keys.' },
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
  AllKeys,
  ResumeAllKeys,
  ResumeSomeKeys,
  Recovery,
  HeldDifference,
  HeldKey,
  HeldKeyList,
  ResumeAs,
  RecoveryResume,
  RefusedResume,
  RecoveryResumed,
];
