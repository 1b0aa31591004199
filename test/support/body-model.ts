/** Bodies for POST and PATCH of a key, right and wrong, and what is to come of each: written from the contract, not from the code. */
import fc from 'fast-check';
import type { Json } from '../../src/domain/values.ts';
import { ownPolicy } from './kms-truth.ts';

/** A value of one field, and what is wrong with it by itself: `<pointer> <code>`. */
type Drawn = { value: Json; faults: string[] };
export type DrawnBody = Record<string, Drawn>;
export type State = Record<string, Json>;
/** What a body leads to: what is wrong with it, KMS's refusal, or the key as it is then. */
export type Outcome = { faults: string[] } | { refusedAt: string[] } | { state: State };

const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`tag${index}`, '']));
const letters = (count: number) => 'ü'.repeat(count);

/** KMS takes no control characters, which its documentation does not say. */
const unheardOf = '\u0001';

type Wrong = [value: Json, code: string, below?: string];
const notBoolean: Wrong[] = [
  ['true', 'invalid_type'],
  [1, 'invalid_type'],
];
const outside = (least: number, most: number): Wrong[] => [
  [least - 1, 'out_of_range'],
  [most + 1, 'out_of_range'],
  [least + 0.5, 'invalid_type'],
  [`${least}`, 'invalid_type'],
];

const fields: Record<string, { right: Json[]; wrong: Wrong[] }> = {
  provider: {
    right: ['default'],
    wrong: [
      ['', 'too_short'],
      [letters(65), 'too_long'],
      [7, 'invalid_type'],
      ['a\0', 'invalid_text'],
    ],
  },
  description: {
    right: ['', 'a', letters(8192), '"\\\n', unheardOf],
    wrong: [
      [letters(8193), 'too_long'],
      [['a'], 'invalid_type'],
      ['a\0', 'invalid_text'],
      ['\ud800', 'invalid_text'],
    ],
  },
  key_usage: {
    right: ['ENCRYPT_DECRYPT', 'SIGN_VERIFY', 'GENERATE_VERIFY_MAC'],
    wrong: [
      ['encrypt_decrypt', 'invalid_value'],
      [{}, 'invalid_type'],
    ],
  },
  customer_master_key_spec: {
    right: ['SYMMETRIC_DEFAULT', 'SYMMETRIC_DEFAULT', 'HMAC_256', 'ECC_NIST_P256'],
    wrong: [
      ['AES', 'invalid_value'],
      [true, 'invalid_type'],
    ],
  },
  custom_key_store_id: {
    right: ['cks-1234567890abcdef0'],
    wrong: [
      ['', 'too_short'],
      [letters(23), 'too_long'],
    ],
  },
  xks_key_id: {
    right: ['external'],
    wrong: [
      ['', 'too_short'],
      [letters(129), 'too_long'],
    ],
  },
  multi_region: { right: [true, false], wrong: notBoolean },
  policy: {
    right: [ownPolicy('A'), ownPolicy('B')],
    wrong: [
      ['{}', 'invalid_type'],
      [[], 'invalid_type'],
      [{ Id: ['\0'] }, 'invalid_text', '/Id/0'],
    ],
  },
  bypass_policy_lockout_safety_check: { right: [true, false], wrong: notBoolean },
  deletion_window_in_days: { right: [7, 30], wrong: outside(7, 30) },
  is_enabled: { right: [true, false], wrong: notBoolean },
  enable_key_rotation: { right: [true, false], wrong: notBoolean },
  rotation_period_in_days: { right: [90, 2560], wrong: outside(90, 2560) },
  tags: {
    right: [{}, { team: 'a' }, { team: '', 'a/b@c': 'ü 1' }, many(49)],
    wrong: [
      [{ team: 1 }, 'invalid_type', '/team'],
      [{ 'AWS:x': '1' }, 'reserved', '/AWS:x'],
      [{ 'keyward:id': 'x' }, 'reserved', '/keyward:id'],
      [{ '': 'x' }, 'too_short', '/'],
      [{ 'a/b?': 'x' }, 'invalid_format', '/a~1b?'],
      [{ a: '*' }, 'invalid_format', '/a'],
      [{ a: letters(257) }, 'too_long', '/a'],
      [{ a: '\0' }, 'invalid_text', '/a'],
      [['team'], 'invalid_type'],
      [many(50), 'too_many'],
    ],
  },
  drift_policy: { right: ['enforce', 'report', 'adopt'], wrong: [['ignore', 'invalid_value']] },
  deletion_protection: { right: [true, false], wrong: notBoolean },
  colour: { right: [], wrong: [['red', 'unknown_field']] },
};

export const defaults: State = {
  description: '',
  key_usage: 'ENCRYPT_DECRYPT',
  customer_master_key_spec: 'SYMMETRIC_DEFAULT',
  custom_key_store_id: null,
  xks_key_id: null,
  multi_region: false,
  policy: null,
  bypass_policy_lockout_safety_check: false,
  deletion_window_in_days: 30,
  is_enabled: true,
  enable_key_rotation: false,
  rotation_period_in_days: null,
  tags: {},
  drift_policy: 'enforce',
  deletion_protection: false,
};
const immutable = ['key_usage', 'customer_master_key_spec', 'custom_key_store_id', 'xks_key_id', 'multi_region'];
const usages: Record<string, string> = {
  SYMMETRIC_DEFAULT: 'ENCRYPT_DECRYPT',
  HMAC_256: 'GENERATE_VERIFY_MAC',
  ECC_NIST_P256: 'SIGN_VERIFY',
};

/** @param wrongness how often a field is wrong, to three that are right. */
function anyField(name: string, wrongness: number): fc.Arbitrary<Drawn | undefined> {
  const { right, wrong } = fields[name] ?? { right: [], wrong: [] };
  const rights = [...right, ...(name === 'colour' ? [] : [null])].map((value): Drawn => ({ value, faults: [] }));
  const wrongs = wrong.map(([value, code, below = '']): Drawn => ({ value, faults: [`/${name}${below} ${code}`] }));
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: rights.length === 0 ? 0 : 3, arbitrary: fc.constantFrom(...rights, undefined) },
    { weight: wrongness, arbitrary: fc.constantFrom(...wrongs) },
  );
}

/** Bodies of which half have fields in them that are wrong by themselves. */
export const anyBody: fc.Arbitrary<DrawnBody> = fc
  .boolean()
  .chain((mayBeWrong) =>
    fc
      .record(Object.fromEntries(Object.keys(fields).map((name) => [name, anyField(name, mayBeWrong ? 1 : 0)])))
      .map((body) =>
        Object.fromEntries(Object.entries(body).filter((field): field is [string, Drawn] => field[1] !== undefined)),
      ),
  );

/** The body as it is sent. */
export function sent(body: DrawnBody): Record<string, Json> {
  return Object.fromEntries(Object.entries(body).map(([name, { value }]) => [name, value]));
}

/** @param before null: the body is that of a POST. */
export function outcomeOf(body: DrawnBody, before: State | null): Outcome {
  const isWhole = (name: string) => body[name] !== undefined && body[name].faults.length === 0;
  const faults = Object.values(body).flatMap((field) => field.faults);
  const unusable = new Set(Object.keys(body).filter((name) => !isWhole(name) && name !== 'tags'));
  if (body['tags'] && Array.isArray(body['tags'].value)) unusable.add('tags');
  const given = Object.fromEntries(Object.entries(sent(body)).filter(([name]) => isWhole(name)));
  const after = merged(given, before);
  const moved = before === null ? [] : immutable.filter((name) => after[name] !== before[name]);
  faults.push(...moved.map((name) => `/${name} immutable`));
  const judged = (...names: string[]) => !names.some((name) => unusable.has(name) || moved.includes(name));
  faults.push(...brokenRules(after, judged));
  if (before !== null && given['tags'] && total(after) > 49) faults.push('/tags too_many');
  if (faults.length > 0) return { faults: [...new Set(faults)].sort() };
  const refusedAt = [
    ...(before === null && after['custom_key_store_id'] !== null ? ['/custom_key_store_id'] : []),
    ...(after['description'] === unheardOf ? ['/description'] : []),
  ];
  return refusedAt.length > 0 ? { refusedAt } : { state: after };
}

const total = ({ tags }: State) => Object.keys(tags ?? {}).length;

/** A POST has defaults for what it leaves out, a PATCH what was there; null is the default in both. */
function merged(given: Record<string, Json>, before: State | null): State {
  const { provider: _, ...fieldsGiven } = given;
  const values = Object.entries(fieldsGiven).map(([name, value]) => [name, value ?? defaults[name]]);
  const after: State = { ...(before ?? defaults), ...Object.fromEntries(values) };
  if (before !== null && given['tags']) after['tags'] = { ...(before['tags'] as object), ...(given['tags'] as object) };
  const turnsOff = 'enable_key_rotation' in given && given['enable_key_rotation'] !== true;
  if (before !== null && turnsOff) after['rotation_period_in_days'] = given['rotation_period_in_days'] ?? null;
  if (after['enable_key_rotation'] === true) after['rotation_period_in_days'] ??= 365;
  return after;
}

function brokenRules(after: State, judged: (...names: string[]) => boolean): string[] {
  const { key_usage, customer_master_key_spec: spec, custom_key_store_id: store, xks_key_id, multi_region } = after;
  const { enable_key_rotation, rotation_period_in_days } = after;
  const isSymmetric = spec === 'SYMMETRIC_DEFAULT';
  const rules: [names: string[], isBroken: boolean, at: string][] = [
    [['key_usage', 'customer_master_key_spec'], !usageFits(spec, key_usage), '/key_usage'],
    [
      ['enable_key_rotation', 'customer_master_key_spec', 'custom_key_store_id'],
      enable_key_rotation === true && (!isSymmetric || store !== null),
      '/enable_key_rotation',
    ],
    [
      ['rotation_period_in_days', 'enable_key_rotation'],
      rotation_period_in_days !== null && enable_key_rotation === false,
      '/rotation_period_in_days',
    ],
    [['xks_key_id', 'custom_key_store_id'], xks_key_id !== null && store === null, '/xks_key_id'],
    [['multi_region', 'custom_key_store_id'], multi_region === true && store !== null, '/multi_region'],
    [['customer_master_key_spec', 'custom_key_store_id'], !isSymmetric && store !== null, '/customer_master_key_spec'],
  ];
  return rules.filter(([names, isBroken]) => isBroken && judged(...names)).map(([, , at]) => `${at} incompatible`);
}

/** Of the specs that are drawn, each takes one usage of those that are drawn. */
function usageFits(spec: Json | undefined, usage: Json | undefined): boolean {
  return usages[String(spec)] === usage;
}
