/** Names for Terraform: letters of ASCII, digits, `_`. A key keeps its name, whichever others there are. */

const longestSlug = 40;
const digitsOfId = 12;

/** What of a text can be in a name. */
function slugOf(text: string, standard: string): string {
  const words = text
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(/[^a-z0-9]+/g, '_');
  const slug = words.slice(0, longestSlug).replaceAll(/^_+|_+$/g, '');
  if (slug === '') return standard;
  return /^\d/.test(slug) ? `${standard}_${slug}` : slug;
}

/**
 * The name of a key's resource: its description, and the end of its id.
 * @param taken names that others have; the new one is put there.
 */
export function resourceName({ id, description }: { id: string; description: string }, taken: Set<string>): string {
  const digits = id.replaceAll('-', '');
  const slug = slugOf(description, 'key');
  const name = `${slug}_${digits.slice(-digitsOfId)}`;
  const free = taken.has(name) ? `${slug}_${digits}` : name;
  taken.add(free);
  return free;
}

/** An alias for each provider. */
export function aliasesOf(providers: readonly string[]): Map<string, string> {
  const taken = new Set<string>();
  return new Map(
    [...providers].sort().map((provider) => {
      const slug = slugOf(provider, 'provider');
      let alias = slug;
      for (let number = 2; taken.has(alias); number += 1) alias = `${slug}_${number}`;
      taken.add(alias);
      return [provider, alias];
    }),
  );
}
