/** What goes wrong with KMS and on the way to it. */
import type { Disturbance } from './disturbances.ts';
import type { Lab } from './lab.ts';
import type { Kind, Mix } from './mix.ts';
import type { Random } from './random.ts';

const reads = [
  'DescribeKey',
  'ListKeys',
  'ListResourceTags',
  'GetKeyPolicy',
  'GetKeyRotationStatus',
  'ListKeyRotations',
  'ListAliases',
  'ListGrants',
] as const;

const writes = [
  'CreateKey',
  'CreateKey',
  'CreateKey',
  'PutKeyPolicy',
  'UpdateKeyDescription',
  'TagResource',
  'UntagResource',
  'EnableKey',
  'DisableKey',
  'EnableKeyRotation',
  'DisableKeyRotation',
  'ScheduleKeyDeletion',
  'CancelKeyDeletion',
  'RotateKeyOnDemand',
  'CreateAlias',
  'UpdateAlias',
  'DeleteAlias',
  'ReplicateKey',
  'ReplicateKey',
  'UpdatePrimaryRegion',
  'RevokeGrant',
  'RetireGrant',
] as const;

/** More often those that most runs have: a fault that nothing comes by is none. */
const operations: [string, ...string[]] = [
  '*',
  ...['*', '*', '*', 'DescribeKey', 'DescribeKey', 'DescribeKey', 'ListResourceTags', 'GetKeyPolicy'],
  ...['TagResource', 'TagResource', 'UpdateKeyDescription', 'UpdateKeyDescription'],
  ...reads,
  ...writes,
];

const plain = [
  'throttle',
  'internal_error',
  'reset_before_effect',
  'reset_after_effect',
  'reset_after_effect',
  'no_answer_after_effect',
  'no_answer_before_effect',
] as const;

const members: readonly [[string, string], ...[string, string][]] = [
  ['DescribeKey', 'KeyMetadata'],
  ['DescribeKey', 'KeyMetadata.KeyState'],
  ['DescribeKey', 'KeyMetadata.KeyState'],
  ['DescribeKey', 'KeyMetadata.Enabled'],
  ['DescribeKey', 'KeyMetadata.MultiRegion'],
  ['DescribeKey', 'KeyMetadata.Description'],
  ['DescribeKey', 'KeyMetadata.KeyManager'],
  ['DescribeKey', 'KeyMetadata.CreationDate'],
  ['DescribeKey', 'KeyMetadata.MultiRegionConfiguration'],
  ['DescribeKey', 'KeyMetadata.MultiRegionConfiguration.PrimaryKey'],
  ['ReplicateKey', 'ReplicaKeyMetadata'],
  ['ReplicateKey', 'ReplicaKeyMetadata.Arn'],
  ['CreateKey', 'KeyMetadata'],
  ['CreateKey', 'KeyMetadata.KeyId'],
  ['CreateKey', 'KeyMetadata.Arn'],
  ['CreateKey', 'KeyMetadata.KeyState'],
  ['CreateKey', 'KeyMetadata.MultiRegion'],
  ['GetKeyRotationStatus', 'RotationPeriodInDays'],
  ['GetKeyRotationStatus', 'KeyRotationEnabled'],
  ['ListResourceTags', 'Tags'],
  ['ListKeys', 'Keys'],
  ['ListKeys', 'Truncated'],
  ['GetKeyPolicy', 'Policy'],
  ['ListKeyRotations', 'Rotations'],
  ['ListAliases', 'Aliases'],
  ['ScheduleKeyDeletion', 'DeletionDate'],
  ['ScheduleKeyDeletion', 'KeyState'],
];

/** Answers that are not KMS's, or not whole. */
const odd = [
  'html',
  'html',
  'unknown_error',
  'truncated',
  'dropped_field',
  'dropped_field',
  'stalled',
  'oversized',
] as const;

function oddAnswer(random: Random): object {
  const operation = random.pick(operations);
  const carried_out = random.chance(0.6);
  const times = random.between(1, 2);
  const kind = random.pick(odd);
  const status = random.pick([400, 403, 404, 408, 413, 429] as const);
  switch (kind) {
    case 'html':
      return { operation, kind, times, carried_out, status: random.pick([200, status, 502]) };
    case 'unknown_error':
      return {
        operation,
        kind,
        times,
        carried_out,
        status,
        type: random.pick(['RequestBlocked', 'NotYetKnownException']),
      };
    case 'truncated':
      return { operation, kind, times, carried_out, told_length: random.pick(['whole', 'part']) };
    case 'dropped_field': {
      const [of, member] = random.pick(members);
      return { operation: of, kind, times, member };
    }
    case 'stalled':
      return { operation, kind, times: 1, carried_out };
    case 'oversized':
      return { operation, kind, times: 1, carried_out, bytes: random.pick([16_000_000, null]) };
  }
}

/** Refusals that time heals: rights and keys that not all of KMS knows of yet. */
function stray(random: Random): object {
  const type = random.pick(['NotFoundException', 'AccessDeniedException']);
  const operation = random.pick(operations);
  return { operation, kind: 'error', type, message: 'Not by the whole of KMS.', times: random.between(1, 2) };
}

/** Operations without which KMS keeps keys well enough. */
const dispensable = [
  'ListKeyRotations',
  'GetKeyRotationStatus',
  'GetKeyRotationStatus',
  'RotateKeyOnDemand',
  'EnableKeyRotation',
] as const;

const renderings: readonly [string[], ...string[][]] = [
  ['unique_ids'],
  ['roles_of_sessions', 'numbers_as_texts'],
  ['texts_for_lists_of_one'],
  ['unique_ids', 'numbers_as_texts', 'every_other_read'],
];

type Add = (kind: Kind, name: string, latest: number, run: () => Promise<unknown>) => void;

/** Chooses some. All of it is over when the lab's faults are cleared and its settings are what they were. */
export function planKmsDisturbances(random: Random, mix: Mix, lab: Lab): Disturbance[] {
  const chosen: Disturbance[] = [];
  const add: Add = (kind, name, latest, run) =>
    chosen.push({ kind, name, at: random.between(0, latest), run: async () => void (await run()) });
  const befall = (kind: Kind, fault: object) =>
    add(kind, `fault ${JSON.stringify(fault)}`, 700, () => lab.control.fault(fault));
  if (mix.has('answers', random, 0.75)) {
    for (let count = random.between(1, 3); count > 0; count -= 1) {
      befall('answers', { operation: random.pick(operations), kind: random.pick(plain), times: random.between(1, 3) });
    }
  }
  if (mix.has('odd-answers', random, 0.4)) {
    for (let count = random.between(1, 2); count > 0; count -= 1) befall('odd-answers', oddAnswer(random));
  }
  if (mix.has('strays', random, 0.25)) {
    for (let count = random.between(1, 2); count > 0; count -= 1) befall('strays', stray(random));
  }
  if (mix.has('lacking', random, 0.12)) {
    const type = random.pick(['InternalFailure', 'UnknownOperationException', 'InvalidAction']);
    befall('lacking', { operation: random.pick(dispensable), kind: 'unsupported', type, times: null });
  }
  planSettings(random, mix, lab, add);
  if (mix.has('black-hole-kms', random, 0.08)) {
    add('black-hole-kms', 'black hole: connections to KMS', 900, async () => lab.blackholeKms());
  }
  return chosen;
}

function planSettings(random: Random, mix: Mix, lab: Lab, add: Add): void {
  const set = (kind: Kind, latest: number, settings: object) =>
    add(kind, `settings ${JSON.stringify(settings)}`, latest, () => lab.control.settings(settings));
  if (mix.has('stale-reads', random, 0.3)) set('stale-reads', 0, { stale_reads_seconds: lab.staleness });
  if (mix.has('states', random, 0.2)) {
    const state = random.pick(['Creating', 'Updating', 'Unavailable', 'PendingImport']);
    const limit = random.chance(0.5) ? { reads: random.between(1, 4) } : { seconds: random.between(1, 12) / 10 };
    set('states', 900, { key_states: [{ key_id: '*', state, ...limit }] });
  }
  if (mix.has('renderings', random, 0.12)) set('renderings', 600, { policy_rendering: random.pick(renderings) });
  if (mix.has('kms-clock', random, 0.08)) {
    set('kms-clock', 900, { clock_offset_seconds: random.pick([-7200, -660, -90, -20, 20, 90, 660, 7200]) });
  }
  if (mix.has('bursts', random, 0.1)) {
    const slow = Object.fromEntries([...reads, ...writes].map((operation) => [operation, random.between(1, 3)]));
    set('bursts', 600, { quotas: slow });
  }
}

/** As KMS is when nothing is wrong. */
export const calmSettings = {
  quotas: false,
  stale_reads_seconds: 0,
  clock_offset_seconds: 0,
  policy_rendering: [],
  key_states: [],
  multi_region_seconds: 0,
};
