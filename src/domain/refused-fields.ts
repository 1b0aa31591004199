/** Which argument KMS's refusal of a call is about, so that a caller is told where to look. */
import type { ArgumentName } from './arguments.ts';
import { makesKey, operationOf } from './operations.ts';
import { pointerSegment } from './pointer.ts';
import type { Json, PolicyDocument, Violation } from './values.ts';

/** A call that KMS refused, with its parameters and what they would have replaced. */
export type RefusedCall = {
  operation: string;
  parameters: { Policy?: PolicyDocument };
  before: { policy?: PolicyDocument | null } | null;
};

/** CreateKey carries many arguments: its errors tell which one they are about. */
const argumentsByCode: [code: RegExp, argument: ArgumentName][] = [
  [/^MalformedPolicyDocument/, 'policy'],
  [/^Tag/, 'tags'],
  [/^(CustomKeyStore|CloudHsm)/, 'custom_key_store_id'],
  [/^Xks/, 'xks_key_id'],
];

/** As KMS's words on a value that is not right name them: `… at 'description' failed to satisfy constraint`. */
const argumentsByName: Record<string, ArgumentName> = {
  description: 'description',
  policy: 'policy',
  tags: 'tags',
  keyUsage: 'key_usage',
  keySpec: 'customer_master_key_spec',
  multiRegion: 'multi_region',
  customKeyStoreId: 'custom_key_store_id',
  xksKeyId: 'xks_key_id',
};

/** What of a CreateKey a refusal is about. */
function argumentOfCreate(code: string, message: string): ArgumentName | undefined {
  const ofCode = argumentsByCode.find(([pattern]) => pattern.test(code))?.[1];
  const [, name = ''] = (code === 'ValidationException' && /(?: at '|\bThe )(\w+)/.exec(message)) || [];
  return ofCode ?? (Object.hasOwn(argumentsByName, name) ? argumentsByName[name] : undefined);
}

/** Where in the body the cause is; empty where that can't be told. @param message KMS's own. */
export function violationsBy(
  call: RefusedCall | null,
  { code, message }: { code: string; message: string },
): Violation[] {
  if (call === null) return [];
  const field = makesKey(call.operation) ? argumentOfCreate(code, message) : operationOf(call.operation)?.argument;
  if (field == null) return [];
  const isPrincipal = field === 'policy' && /invalid principals?/i.test(message);
  const detail = isPrincipal ? `KMS knows no such principal: ${suspects(call)}.` : `KMS refused it: ${message}`;
  return [{ pointer: `/${field}`, code: 'refused_by_kms', detail }];
}

/** KMS does not say which principal it does not know: one of those that it had not taken before. */
function suspects({ parameters, before }: RefusedCall): string {
  const known = new Set(before?.policy ? principalsOf(before.policy) : []);
  const all = [...new Set(principalsOf(parameters.Policy ?? {}))].filter((name) => name !== '*');
  const unknown = all.filter((name) => !known.has(name));
  const named = unknown.length > 0 ? unknown : all;
  return named.length === 1 ? String(named[0]) : `one of ${named.join(', ')}`;
}

function principalsOf(policy: PolicyDocument): string[] {
  return elements(policy).flatMap(({ value }) => (typeof value === 'string' ? [value] : []));
}

/** Principals that are no text: a number would reach KMS without its leading zeros, or as another account. */
export function principalFaults(policy: PolicyDocument): Violation[] {
  return elements(policy)
    .filter(({ value }) => typeof value !== 'string')
    .map(({ pointer }) => ({
      pointer: `/policy${pointer}`,
      code: 'invalid_type',
      detail: 'A principal is a string, as an account id is.',
    }));
}

function elements(policy: PolicyDocument): { pointer: string; value: Json }[] {
  return parts(policy['Statement'] ?? [], '/Statement').flatMap(({ value: statement, pointer }) =>
    ['Principal', 'NotPrincipal'].flatMap((name) => {
      const principal = isObject(statement) ? statement[name] : undefined;
      if (principal === undefined) return [];
      if (!isObject(principal)) return [{ pointer: `${pointer}/${name}`, value: principal }];
      return Object.entries(principal).flatMap(([type, value]) =>
        parts(value, `${pointer}/${name}/${pointerSegment(type)}`),
      );
    }),
  );
}

function parts(value: Json, pointer: string): { value: Json; pointer: string }[] {
  if (!Array.isArray(value)) return [{ value, pointer }];
  return value.map((item, index) => ({ value: item, pointer: `${pointer}/${index}` }));
}

function isObject(value: Json): value is { [member: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
