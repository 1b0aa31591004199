/** Keys in bulk: declared states as lines of JSON, what becomes of each, and many keys that are let go of at once. */
import { type Static, Type } from 'typebox';
import { type ArgumentName, argumentNames } from '../domain/arguments.ts';
import { KeyId, nullable, nullableRef, openEnum, Policy, Problem, ref } from './common.ts';
import { Key, KeyPut, keyStates, takeAliases } from './key.ts';
import { Plan } from './plan.ts';

/** JSON, one value a line. Source: github.com/ndjson/ndjson-spec. */
export const linesType = 'application/x-ndjson';

/** The body of PUT, with what says which key it is. */
export const KeyDeclaration = Type.Object(
  {
    id: Type.String({ ...KeyId, description: "UUID; Keyward's own, here and wherever the line is applied." }),
    arn: Type.Optional(
      nullable(
        Type.String({ minLength: 20, maxLength: 2048, description: 'Of the KMS key; null: there is none yet.' }),
      ),
    ),
    key_id: Type.Optional(
      nullable(Type.String({ minLength: 1, maxLength: 256, description: "KMS's id of it; null: there is none yet." })),
    ),
    replica_of: Type.Optional(
      nullable(
        Type.String({
          ...KeyId,
          description: 'Of a replica: the id of its primary key. A replica is made after that.',
        }),
      ),
    ),
    ...KeyPut.properties,
  },
  {
    $id: 'KeyDeclaration',
    additionalProperties: false,
    description:
      'A key as it is declared: the body of PUT with its id, and with the KMS key where there is one. What is left out, or null, has its default.',
  },
);

export const KeyDeclarations = Type.Array(ref(KeyDeclaration), {
  $id: 'KeyDeclarations',
  description: 'Declared keys: one JSON object on each line, without brackets and commas around them.',
});

const { id, provider, arn, key_id, replica_of } = Key.properties;
const shownArguments = Object.fromEntries(argumentNames.map((name) => [name, Key.properties[name]])) as Pick<
  typeof Key.properties,
  ArgumentName
>;

/** The same as it goes out: open, and with every field. */
const ExportedKey = Type.Object(
  {
    id,
    provider,
    arn,
    key_id,
    replica_of,
    ...shownArguments,
    policy: nullableRef(Policy, {
      description: 'As it is declared; null: none is, and the one in force is left alone.',
    }),
  },
  { $id: 'ExportedKey', description: 'What is declared of a key: a line for POST /v1/keys/apply.' },
);

export const ExportedKeys = Type.Array(ref(ExportedKey), {
  $id: 'ExportedKeys',
  description: 'What is declared of keys: one JSON object on each line, without brackets and commas around them.',
});

export const ApplyQuery = Type.Object(
  {
    dry_run: Type.Optional(
      Type.Boolean({ description: 'true: answer with the plan of each line, and record nothing. Default: false.' }),
    ),
    take_aliases: takeAliases,
  },
  { additionalProperties: false },
);

export const TerraformQuery = Type.Object(
  { provider: Type.Optional(Type.String({ description: 'Only keys of this provider. Default: of all.' })) },
  { additionalProperties: false },
);

const outcomes = ['created', 'updated', 'unchanged', 'imported', 'failed'] as const;
const line = Type.Integer({ description: 'The number of the line in the body, from 1 on.' });
const pending = (what: string) => Type.Boolean({ description: `Whether it is recorded, and ${what} still to come.` });

/** What became of a line. */
export const ApplyResult = Type.Object(
  {
    line,
    id: Type.String({ description: 'The id that the line has.' }),
    outcome: openEnum(outcomes, {
      description:
        'created, updated, unchanged: as of a PUT. imported: the KMS key that the line names was taken into management. failed: nothing was done, and `problem` says why. With dry_run, what would become of it.',
    }),
    pending: pending('its sync is'),
    generation: nullable(Type.Integer({ description: 'Of the declared state by now; null: there is no such key.' })),
    state: nullable(openEnum(keyStates, { description: '`status.state` by now.' })),
    arn: nullable(Type.String({ description: 'Of the KMS key; null: there is none (yet).' })),
    aliases_taken: Key.properties.aliases_taken,
    plan: Type.Optional(ref(Plan, { description: 'With dry_run, of a line that has not failed.' })),
    problem: Type.Optional(ref(Problem, { description: 'Of a line that has failed.' })),
  },
  { $id: 'ApplyResult', description: 'What became of a line, or would.' },
);

export const ApplyResults = Type.Array(ref(ApplyResult), {
  $id: 'ApplyResults',
  description: 'What became of the lines, in their order: one JSON object on each line.',
});

export const mostReleased = 1000;

export const KeyRelease = Type.Object(
  {
    ids: Type.Array(Type.String({ maxLength: 128, description: "Keyward's id of a key." }), {
      minItems: 1,
      maxItems: mostReleased,
      description: `Ids of the keys to let go of, at most ${mostReleased}.`,
    }),
  },
  { $id: 'KeyRelease', additionalProperties: false, description: 'Keys to let go of.' },
);

const ReleaseResult = Type.Object(
  {
    id: Type.String({ description: 'As it was asked for.' }),
    outcome: openEnum(['released', 'failed'], {
      description: "released: the key is, or will be, KMS's alone. failed: `problem` says why.",
    }),
    pending: pending('the removal of the ownership tag is'),
    problem: Type.Optional(ref(Problem, { description: 'Of a key that could not be let go of.' })),
  },
  { $id: 'ReleaseResult', description: 'What became of one key.' },
);

export const KeyReleased = Type.Object(
  { items: Type.Array(ref(ReleaseResult), { description: 'In the order of `ids`, each once.' }) },
  { $id: 'KeyReleased', description: 'What became of the keys.' },
);

export type KeyDeclaration = Static<typeof KeyDeclaration>;
export type ExportedKey = Static<typeof ExportedKey>;
export type ApplyResult = Static<typeof ApplyResult>;
export type ApplyOutcome = (typeof outcomes)[number];
export type KeyRelease = Static<typeof KeyRelease>;
export type KeyReleased = Static<typeof KeyReleased>;

export const keyLineSchemas = [
  KeyDeclaration,
  KeyDeclarations,
  ExportedKey,
  ExportedKeys,
  ApplyResult,
  ApplyResults,
  KeyRelease,
  ReleaseResult,
  KeyReleased,
];
