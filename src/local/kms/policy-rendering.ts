/** Ways in which a KMS shows a policy otherwise than it was given, though it means the same, or less. */
import { uniqueIdOf } from './principals.ts';

export const policyRenderings = [
  'unique_ids',
  'roles_of_sessions',
  'numbers_as_texts',
  'texts_for_lists_of_one',
  'emptied_conditions',
  'every_other_read',
] as const;

export type PolicyRendering = (typeof policyRenderings)[number];

type Json = null | boolean | number | string | Json[] | { [member: string]: Json };

const rules: Partial<Record<PolicyRendering, (value: Json, path: string[]) => Json>> = {
  unique_ids: (value, path) =>
    path.includes('Principal') && typeof value === 'string' && /^arn:aws[a-z-]*:iam::\d{12}:(user|role)\//.test(value)
      ? uniqueIdOf(value)
      : value,
  roles_of_sessions: (value) =>
    typeof value === 'string'
      ? value.replace(/^(arn:aws[a-z-]*:)sts(::\d{12}:)assumed-role\/(.+)\/[^/]+$/, '$1iam$2role/$3')
      : value,
  numbers_as_texts: (value, path) =>
    path.includes('Condition') && (typeof value === 'number' || typeof value === 'boolean') ? String(value) : value,
  texts_for_lists_of_one: (value) =>
    Array.isArray(value) && typeof value[0] === 'string' && value.length === 1 ? value[0] : value,
  emptied_conditions: (value, path) => (path.includes('Condition') && Array.isArray(value) ? [] : value),
};

export class PolicyRenderer {
  renderings: PolicyRendering[] = [];
  readonly #reads = new Map<string | null, number>();

  /** An answer of GetKeyPolicy for a key, as it is shown; a policy that is not JSON is shown as it is. */
  shown(answer: object, key: string | null): object {
    const { Policy: policy } = answer as { Policy?: string };
    if (policy === undefined || this.renderings.length === 0) return answer;
    const reads = (this.#reads.get(key) ?? 0) + 1;
    this.#reads.set(key, reads);
    if (this.renderings.includes('every_other_read') && reads % 2 === 0) return answer;
    try {
      return { ...answer, Policy: JSON.stringify(this.#render(JSON.parse(policy) as Json, [])) };
    } catch {
      return answer;
    }
  }

  #render(value: Json, path: string[]): Json {
    let shown = value;
    for (const rendering of this.renderings) shown = rules[rendering]?.(shown, path) ?? shown;
    if (Array.isArray(shown)) return shown.map((item) => this.#render(item, path));
    if (shown === null || typeof shown !== 'object') return shown;
    const members = Object.entries(shown).map(([name, inner]) => [name, this.#render(inner, [...path, name])]);
    return Object.fromEntries(members) as Json;
  }
}
