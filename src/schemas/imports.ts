/** Many keys that are taken into management at once. */
import { type Static, Type } from 'typebox';
import { importOutcomes, importReasonCodes, importReasons, importStates } from '../domain/imports.ts';
import { KeyId, nullable, nullableRef, openEnum, page, pageOf, ref, stringEnum, Tags, timestamp } from './common.ts';
import { Fields } from './history.ts';
import { DriftPolicy, KeyUsage } from './key-arguments.ts';

/** The most keys that one request names. */
export const mostKeyIds = 10_000;

/** The media type of a state file that is a body. */
export const stateType = 'application/vnd.keyward.tfstate+json';
/** Bytes of the largest. */
export const largestState = 64 * 1024 * 1024;

const TerraformState = Type.Unsafe<Record<string, unknown>>({
  $id: 'TerraformState',
  type: 'object',
  additionalProperties: true,
  description:
    'A state file of Terraform or OpenTofu, version 4. One of more than 512 KiB is sent as the body itself, as `application/vnd.keyward.tfstate+json`. Of it the `aws_kms_key` resources are read, and nothing else is kept.',
});

const filters = {
  tags: Type.Optional(ref(Tags, { description: 'With `all`: only keys that have all of these tags in KMS.' })),
  created_after: Type.Optional(
    Type.String({ format: 'date-time', description: 'With `all`: only keys that were created later. RFC 3339.' }),
  ),
  key_usage: Type.Optional(ref(KeyUsage, { description: 'With `all`: only keys of this usage.' })),
};

const ImportSource = Type.Object(
  {
    key_ids: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 2048 }), {
        minItems: 1,
        maxItems: mostKeyIds,
        description: 'Key ids, key ARNs, alias names (alias/…) and alias ARNs.',
      }),
    ),
    all: Type.Optional(Type.Boolean({ description: 'true: every customer managed key of the provider.' })),
    ...filters,
    terraform_state: Type.Optional(ref(TerraformState)),
  },
  {
    $id: 'ImportSource',
    additionalProperties: false,
    description: 'Which keys: exactly one of `key_ids`, `all` and `terraform_state`.',
  },
);

const ownProvider = Type.String({
  minLength: 1,
  maxLength: 64,
  description:
    'Account and Region. Absent: a key that is named by its ARN is taken by the provider for its account and Region, any other by "default".',
});
const ownDriftPolicy = { description: 'Of the imported keys. Default: the drift_policy of the provider.' };
const dryRun = { description: 'Only tell what would be imported, and what would not, and why.' };

export const ImportCreate = Type.Object(
  {
    provider: Type.Optional(nullable(ownProvider)),
    source: ref(ImportSource),
    drift_policy: Type.Optional(ref(DriftPolicy, ownDriftPolicy)),
    dry_run: Type.Optional(Type.Boolean(dryRun)),
  },
  { $id: 'ImportCreate', additionalProperties: false, description: 'Keys of KMS to manage from now on.' },
);

/** What goes with a state file that is the body itself. */
export const ImportQuery = Type.Object(
  {
    provider: Type.Optional(ownProvider),
    drift_policy: Type.Optional(ref(DriftPolicy, ownDriftPolicy)),
    dry_run: Type.Optional(Type.Boolean(dryRun)),
  },
  { additionalProperties: false },
);

export const ImportOutcome = stringEnum(importOutcomes, {
  $id: 'ImportOutcome',
  description:
    'What became of a key. waiting: its turn is still to come. imported: it is managed now; of a dry run: it would be. already_managed: there is a record of it. skipped: it can not be managed, or was not asked for. failed: it could not be imported.',
});

const count = (description: string) => Type.Integer({ description });

const ImportCounts = Type.Object(
  {
    total: count('Keys that were found so far.'),
    imported: count('Imported; of a dry run: that would be.'),
    already_managed: count('Of which there is a record.'),
    skipped: count('That can not be managed, or were not asked for.'),
    failed: count('That could not be imported.'),
    waiting: count(
      'Whose turn is still to come. Of all keys, a caller that may know some only is told of none that waits.',
    ),
  },
  { $id: 'ImportCounts', description: 'Keys by their outcome.' },
);

const reasonWords = importReasonCodes.map((code) => `${code}: ${importReasons[code].means}`).join('; ');

const ImportReason = Type.Object(
  {
    code: openEnum(importReasonCodes, { description: `For programs. ${reasonWords}.` }),
    detail: Type.String({ description: 'Why, and what to do about it.' }),
  },
  { $id: 'ImportReason', description: 'Why a key was not imported.' },
);

const ImportDifference = Type.Object(
  {
    field: Type.String({ description: 'As in drift: of tags each name, `tags.<name>`.' }),
    stated: Type.Unsafe<unknown>({ description: 'As the state has it; null: it does not.' }),
    observed: Type.Unsafe<unknown>({ description: 'As KMS has it; null: it does not.' }),
  },
  { $id: 'ImportDifference', description: 'A field in which a Terraform state and KMS disagree. KMS is right.' },
);

const ImportItem = Type.Object(
  {
    source: Type.String({
      description: 'What names the key: an id, an ARN, an alias, or the address of a resource in the state.',
    }),
    provider: nullable(Type.String({ description: 'The provider that it belongs to; null: none is known.' })),
    arn: nullable(Type.String({ description: 'Its ARN; null: it is not known.' })),
    outcome: openEnum(importOutcomes, { description: 'What became of it, in words of ImportOutcome.' }),
    reason: nullableRef(ImportReason, { description: 'Why it was not imported, or why its turn comes again.' }),
    id: nullable(Type.String({ ...KeyId, description: "Keyward's id of the key; null: there is no record of it." })),
    differences: Type.Array(ref(ImportDifference), { description: 'Where the state and KMS disagree.' }),
    declared: nullableRef(Fields, { description: 'Of a dry run: the desired state that the key would have.' }),
    finished_at: nullable(timestamp('When its outcome was known; null: it is not yet.')),
  },
  { $id: 'ImportItem', description: 'A key of an import, and what became of it.' },
);

const ImportItemList = pageOf(ImportItem, 'ImportItemList', 'the keys of an import');

const ImportError = Type.Object(
  {
    code: Type.String({ description: "KMS's error, or Keyward's own." }),
    message: Type.String({ description: 'What happened, in words.' }),
  },
  { $id: 'ImportError', description: 'Why the keys could not be listed.' },
);

const importKinds = ['key_ids', 'all', 'terraform_state'] as const;

const Import = Type.Object(
  {
    id: Type.String({ ...KeyId, description: 'Of the import.' }),
    state: openEnum(importStates, {
      description:
        'running: it goes on by itself, whatever is stopped meanwhile. done: every key has its outcome. cancelled: somebody ended it. failed: the keys could not be listed.',
    }),
    source: openEnum(importKinds, { description: 'What names the keys.' }),
    provider: nullable(Type.String({ description: "The provider; null: each key's ARN tells it." })),
    ...filters,
    drift_policy: nullable(openEnum(['enforce', 'report', 'adopt'], { description: "null: the provider's." })),
    dry_run: Type.Boolean({ description: 'Whether it only tells what would be done.' }),
    counts: ref(ImportCounts),
    rate: nullable(
      Type.Number({
        description: 'Keys a second: of the last ten seconds, or of the whole import when it is over; null: none yet.',
      }),
    ),
    expected_until: nullable(
      timestamp(
        "When it will be over, by KMS's request quotas and Keyward's share of them; null: it is over, or is about all keys, of which the caller may know some only.",
      ),
    ),
    error: nullableRef(ImportError, { description: 'Why it failed, or waits; null: nothing is wrong.' }),
    requested_by: Type.String({ description: 'Who asked for it.' }),
    started_at: timestamp('When it was asked for.'),
    finished_at: nullable(timestamp('When it was over; null: it is not yet.')),
  },
  { $id: 'Import', description: 'Many keys that are taken into management at once.' },
);

const ImportList = pageOf(Import, 'ImportList', 'imports');

export const ImportItemQuery = Type.Object(
  { outcome: Type.Optional(ref(ImportOutcome)), ...page },
  { additionalProperties: false },
);

export type ImportCreate = Static<typeof ImportCreate>;
export type ImportSource = Static<typeof ImportSource>;
export type Import = Static<typeof Import>;
export type ImportItem = Static<typeof ImportItem>;
export type ImportItemQuery = Static<typeof ImportItemQuery>;

export const importSchemas = [
  TerraformState,
  ImportSource,
  ImportCreate,
  ImportOutcome,
  ImportCounts,
  ImportReason,
  ImportDifference,
  ImportItem,
  ImportItemList,
  ImportError,
  Import,
  ImportList,
];
