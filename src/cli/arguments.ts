/** The arguments of a key as options of the command line: each field of the API has one, named as Terraform names it. */
import { readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { misuse } from './errors.ts';
import type { Io } from './io.ts';
import type { Schemas } from './session.ts';

type KeyCreate = Schemas['KeyCreate'];
type Field = keyof KeyCreate;
type Kind = 'text' | 'number' | 'flag' | 'document' | 'tags' | 'names';

/** `fixed`: KMS fixes it when it makes the key. */
type Argument = { kind: Kind; help: string; fixed?: true };

const table: Record<Field, Argument> = {
  provider: { kind: 'text', help: 'account and Region', fixed: true },
  description: { kind: 'text', help: 'what the key is for' },
  key_usage: { kind: 'text', help: 'ENCRYPT_DECRYPT, SIGN_VERIFY, …', fixed: true },
  customer_master_key_spec: { kind: 'text', help: 'SYMMETRIC_DEFAULT, RSA_2048, …', fixed: true },
  custom_key_store_id: { kind: 'text', help: 'the custom key store that holds the material', fixed: true },
  xks_key_id: { kind: 'text', help: 'the key in an external key store', fixed: true },
  multi_region: { kind: 'flag', help: 'a multi-Region key', fixed: true },
  replicate_to: { kind: 'names', help: 'the provider of a replica; can be given again', fixed: true },
  policy: { kind: 'document', help: 'key policy: JSON, @file, or @- for standard input' },
  bypass_policy_lockout_safety_check: { kind: 'flag', help: 'take a policy that locks the caller out' },
  deletion_window_in_days: { kind: 'number', help: 'how long a deletion can be taken back, 7 to 30' },
  is_enabled: { kind: 'flag', help: 'whether the key can be used' },
  enable_key_rotation: { kind: 'flag', help: 'whether KMS rotates the material by itself' },
  rotation_period_in_days: { kind: 'number', help: 'how often it is rotated, 90 to 2560' },
  tags: { kind: 'tags', help: 'a tag; can be given again' },
  aliases: { kind: 'names', help: 'a name that points at the key; can be given again' },
  drift_policy: { kind: 'text', help: 'enforce, report or adopt' },
  deletion_protection: { kind: 'flag', help: 'refuse a deletion' },
};

const fields = Object.keys(table) as Field[];
const changeable = fields.filter((field) => table[field].fixed === undefined);

/** What a replica does not have from its primary key. */
const ofReplica = [
  'provider' as const,
  ...changeable.filter((field) => !/^(enable_key_rotation|rotation_period_in_days)$/.test(field)),
];

/** Options that are given once for each of many. */
const singular: Record<string, string> = { tags: 'tag', aliases: 'alias' };

/** As it stands on the command line. */
export const optionOf = (field: string): string => singular[field] ?? field.replaceAll('_', '-');

function integer(text: string): number {
  if (!/^-?\d+$/.test(text)) throw new InvalidArgumentError('It is no whole number.');
  return Number(text);
}

/** `name=value`, beside those that were given before it. */
export function collectTag(text: string, before: Record<string, string> = {}): Record<string, string> {
  const [name = '', ...value] = text.split('=');
  if (name === '' || value.length === 0) throw new InvalidArgumentError('A tag is written name=value.');
  return { ...before, [name]: value.join('=') };
}

export const collect = (text: string, before: string[] = []): string[] => [...before, text];

function optionsOf(field: Field): Option[] {
  const { kind, help } = table[field];
  const name = optionOf(field);
  switch (kind) {
    case 'text':
      return [new Option(`--${name} <text>`, help)];
    case 'number':
      return [new Option(`--${name} <number>`, help).argParser(integer)];
    case 'flag':
      return [new Option(`--${name}`, help), new Option(`--no-${name}`, 'the opposite of it')];
    case 'document':
      return [new Option(`--${name} <json>`, help)];
    case 'tags':
      return [new Option(`--${name} <name=value>`, help).argParser(collectTag)];
    case 'names':
      return [new Option(`--${name} <name>`, help).argParser(collect)];
  }
}

function addFields(command: Command, names: Field[]): Command {
  for (const option of names.flatMap(optionsOf)) command.addOption(option);
  return command;
}

/** Options for each argument that a new key can have. */
export const addArguments = (command: Command): Command => addFields(command, fields);

/** Options for each argument that a replica has of its own. */
export const addReplicaArguments = (command: Command): Command => addFields(command, ofReplica);

function changeableField(text: string, before: string[] = []): string[] {
  const field = text.replaceAll('-', '_');
  if (!changeable.includes(field as Field)) {
    throw new InvalidArgumentError(`It is one of ${changeable.join(', ')}.`);
  }
  return [...before, field];
}

/** Options for each argument of a key that can be changed. */
export function addChanges(command: Command): Command {
  return addFields(command, changeable)
    .addOption(new Option('--untag <name>', 'remove a tag; can be given again').argParser(collect))
    .addOption(new Option('--unset <field>', 'back to the default; can be given again').argParser(changeableField));
}

/** A JSON document that is given as such, as `@file`, or as `@-`. */
export async function readDocument(io: Io, given: string, option: string): Promise<unknown> {
  const file = given.startsWith('@') ? given.slice(1) : undefined;
  const content = file === undefined ? given : file === '-' ? await readText(io.stdin) : await readInput(file);
  try {
    return JSON.parse(content);
  } catch (error) {
    const where = file === undefined ? `--${option}` : file;
    throw misuse(`${where} is no JSON: ${(error as Error).message}`, `--${option} @file reads it from a file.`);
  }
}

/** A file that the person named. */
export async function readInput(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw misuse(`${file} can't be read: ${(error as Error).message}`);
  }
}

type Given = Record<string, unknown> & { untag?: string[]; unset?: string[] };

/** The fields that were given, as the API takes them. */
export async function bodyOf(io: Io, given: object): Promise<Record<string, unknown>> {
  const options = given as Given;
  const body: Record<string, unknown> = {};
  for (const field of fields) {
    const [option] = optionsOf(field);
    const value = option === undefined ? undefined : options[option.attributeName()];
    if (value === undefined) continue;
    body[field] = table[field].kind === 'document' ? await readDocument(io, String(value), optionOf(field)) : value;
  }
  for (const field of options.unset ?? []) body[field] = null;
  const removed = Object.fromEntries((options.untag ?? []).map((name) => [name, null]));
  if (options.untag !== undefined) body['tags'] = { ...(body['tags'] as object | undefined), ...removed };
  return body;
}
