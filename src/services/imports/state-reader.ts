/**
 * Reads a state file of Terraform or OpenTofu, version 4, as its text comes: of `aws_kms_key` resources the attributes that a key
 * has, of all else nothing. So a file of any size and depth takes as much memory as its keys do, and the secrets of other
 * resources are never put together.
 */
import { none } from 'stream-chain/defs.js';
import { jsonParser, type Token } from 'stream-json/core/parser.js';
import { type StatedKey, statedAttributes, statedKey } from '../../domain/terraform-state.ts';
import { storableText, unstorableText } from '../../domain/text.ts';
import type { Json } from '../../domain/types.ts';
import { mostKeyIds as mostKeys } from '../../schemas/imports.ts';

/** An `aws_kms_key` of a state. `why`: what keeps it from being imported, whatever KMS says of it. */
export type StatedInstance = {
  address: string;
  arn: string | null;
  stated: StatedKey;
  why: 'data_source' | 'deposed' | null;
};

/** What was read. */
export class StateFile {
  readonly instances: readonly StatedInstance[];

  constructor(instances: readonly StatedInstance[]) {
    this.instances = instances;
  }
}

/** Thrown when a text is no state that can be read. `version`: of one that is a state of another version. */
export class UnreadableState extends Error {
  readonly kind: 'json' | 'state' | 'version';

  constructor(kind: UnreadableState['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The type of the resources that are read. */
const keyType = 'aws_kms_key';
const readVersion = 4;
/** Characters of a text that is read: a policy, the longest of all, has fewer. */
const longestText = 262_144;
/** Bytes: PostgreSQL has no room in an index for many more. */
export const longestArn = 2048;
/** A key in KMS has fewer. */
const mostTags = 1000;

type Instance = { index_key?: Json; deposed?: Json; attributes: Record<string, Json> };
type ReadInstance = Pick<Instance, 'index_key' | 'deposed'> & Pick<StatedInstance, 'arn' | 'stated'>;
type Resource = { module?: Json; mode?: Json; type?: Json; name?: Json; instances: ReadInstance[] };

const ofResource = new Set<string>(['module', 'mode', 'type', 'name']);
const ofInstance = new Set<string>(['index_key', 'deposed']);
const ofKey = new Set<string>(statedAttributes);
const maps = new Set<string>(['tags', 'tags_all']);

/** The containers on the way to an attribute, from the outermost: what each is, and under which name in the one around it. */
const way: readonly { kind: 'object' | 'array'; isUnder(name: string): boolean }[] = [
  { kind: 'object', isUnder: () => true },
  { kind: 'array', isUnder: (name) => name === 'resources' },
  { kind: 'object', isUnder: () => true },
  { kind: 'array', isUnder: (name) => name === 'instances' },
  { kind: 'object', isUnder: () => true },
  { kind: 'object', isUnder: (name) => name === 'attributes' },
  { kind: 'object', isUnder: (name) => maps.has(name) },
];

export class StateReader {
  readonly #parse = jsonParser({ streamKeys: false, packStrings: false, streamNumbers: false });
  readonly #instances: StatedInstance[] = [];
  #depth = 0;
  /** How many of the open containers lie on the way. */
  #onWay = 0;
  /** The name at hand in each container on the way. */
  readonly #names: string[] = [''];
  #version: Json | undefined;
  #resource: Resource = { instances: [] };
  #instance: Instance = { attributes: {} };
  #tags = 0;
  /** A text that is being read; null: it is of no interest. */
  #text: string | null = null;

  /** @throws UnreadableState */
  push(text: string): void {
    this.#take(() => this.#parse(text));
  }

  /** @throws UnreadableState */
  end(): StateFile {
    // What the library's types leave out: without a value, it is told of the end.
    this.#take(() => this.#parse(none as unknown as string));
    if (this.#version !== readVersion) {
      const found = this.#version === undefined ? 'says of no version' : `is of version ${String(this.#version)}`;
      const detail = `The state ${found}; version 4 is read, which Terraform writes since 0.12, and OpenTofu: write it anew with one of these.`;
      throw new UnreadableState('version', detail);
    }
    return new StateFile(this.#instances);
  }

  #take(parse: () => ReturnType<ReturnType<typeof jsonParser>>): void {
    let parsed: Awaited<ReturnType<typeof parse>>;
    try {
      parsed = parse() as typeof parsed;
    } catch (error) {
      throw new UnreadableState('json', `The state is not valid JSON: ${(error as Error).message}.`);
    }
    if (parsed === none) return;
    for (const token of (parsed as { values: Token[] }).values) this.#takeToken(token);
  }

  #takeToken(token: Token): void {
    if (token.name === 'startObject' || token.name === 'startArray') {
      this.#open(token.name === 'startObject' ? 'object' : 'array');
    } else if (token.name === 'endObject' || token.name === 'endArray') this.#close();
    else if (token.name === 'keyValue') {
      if (this.#isAtHand) this.#names[this.#onWay] = token.value;
    } else if (token.name === 'startString') this.#text = this.#isWanted ? '' : null;
    else if (token.name === 'stringChunk') this.#lengthen(token.value);
    else if (token.name === 'endString') this.#endText();
    else if (token.name === 'numberValue') this.#put(Number(token.value));
    else if ('value' in token) this.#put(token.value);
  }

  #lengthen(text: string): void {
    if (this.#text !== null && this.#text.length <= longestText) this.#text += text;
  }

  #endText(): void {
    if (this.#text !== null && this.#text.length <= longestText) this.#put(this.#text);
    else if (this.#depth === 0) throw notAState();
    this.#text = null;
  }

  /** Whether the innermost container lies on the way. */
  get #isAtHand(): boolean {
    return this.#depth === this.#onWay;
  }

  get #name(): string {
    return this.#names[this.#onWay] ?? '';
  }

  #open(kind: 'object' | 'array'): void {
    if (this.#depth === 0 && kind !== 'object') throw notAState();
    const next = way[this.#onWay];
    if (this.#isAtHand && next?.kind === kind && next.isUnder(this.#name)) {
      this.#onWay += 1;
      this.#names[this.#onWay] = '';
      if (this.#onWay === 3) this.#resource = { instances: [] };
      if (this.#onWay === 5) this.#instance = { attributes: {} };
      if (this.#onWay === 7 && this.#isKey) this.#instance.attributes[this.#names[6] ?? ''] = {};
      if (this.#onWay === 7) this.#tags = 0;
    }
    this.#depth += 1;
  }

  #close(): void {
    if (this.#isAtHand) {
      if (this.#onWay === 5 && this.#isKey) this.#endInstance();
      if (this.#onWay === 3) this.#endResource();
      this.#onWay -= 1;
    }
    this.#depth -= 1;
  }

  /** Whether the resource may be a key: as long as its type has not been told. */
  get #isKey(): boolean {
    return this.#resource.type === undefined || this.#resource.type === keyType;
  }

  /** Whether the value at hand is one that is read. */
  get #isWanted(): boolean {
    if (!this.#isAtHand) return false;
    switch (this.#onWay) {
      case 1:
        return this.#name === 'version';
      case 3:
        return ofResource.has(this.#name);
      case 5:
        return this.#isKey && ofInstance.has(this.#name);
      case 6:
        return this.#isKey && ofKey.has(this.#name);
      case 7:
        return this.#isKey;
      default:
        return false;
    }
  }

  #put(value: Json): void {
    if (this.#depth === 0) throw notAState();
    if (!this.#isWanted) return;
    const name = this.#name;
    if (this.#onWay === 1) this.#version = value;
    else if (this.#onWay === 3) this.#resource = { ...this.#resource, [name]: value };
    else if (this.#onWay === 5) this.#instance = { ...this.#instance, [name]: value };
    else if (this.#onWay === 6) this.#instance.attributes[name] = value;
    // Not by assignment: a tag may be named __proto__.
    else if (++this.#tags <= mostTags)
      Object.defineProperty(this.#instance.attributes[this.#names[6] ?? ''], name, { ...shown, value });
  }

  /** At once: the policies of all instances would hold up others. One more than may be is enough to tell of. */
  #endInstance(): void {
    const { instances } = this.#resource;
    if (instances.length > mostKeys) return;
    const { attributes, ...names } = this.#instance;
    const { arn } = attributes;
    const isArn = typeof arn === 'string' && Buffer.byteLength(arn) <= longestArn && !unstorableText(arn);
    instances.push({ ...names, arn: isArn ? arn : null, stated: statedKey(attributes) });
  }

  #endResource(): void {
    const { type, mode, instances } = this.#resource;
    if (type !== keyType) return;
    if (this.#instances.length + instances.length > mostKeys) {
      const detail = `The state has more than ${mostKeys} of ${keyType}: import it in parts, or all keys of a provider.`;
      throw new UnreadableState('state', detail);
    }
    for (const instance of instances) {
      const isDeposed = instance.deposed !== undefined && instance.deposed !== null && instance.deposed !== '';
      this.#instances.push({
        address: addressOf(this.#resource, instance, isDeposed),
        arn: instance.arn,
        stated: instance.stated,
        why: mode !== 'managed' ? 'data_source' : isDeposed ? 'deposed' : null,
      });
    }
  }
}

const shown = { enumerable: true, configurable: true, writable: true };

function notAState(): UnreadableState {
  return new UnreadableState('state', 'A state is a JSON object.');
}

/** As Terraform writes it. Source: Terraform, internal/addrs. */
function addressOf({ module, mode, name }: Resource, { index_key, deposed }: ReadInstance, isDeposed: boolean): string {
  const within = typeof module === 'string' && module !== '' ? `${module}.` : '';
  const kind = mode === 'managed' ? '' : 'data.';
  const place = isDeposed ? ` (deposed ${String(deposed)})` : '';
  return storableText(`${within}${kind}${keyType}.${String(name)}${indexOf(index_key)}${place}`);
}

function indexOf(key: Json | undefined): string {
  if (typeof key === 'number') return `[${key}]`;
  if (typeof key !== 'string') return '';
  return `[${JSON.stringify(key).replaceAll(/[$%](?=\{)/g, '$&$&')}]`;
}
