/** Credentials where they don't belong: in a path, the name of a client, the words of an error. */

const forms: [form: RegExp, shown: string][] = [
  [/kwd_[\w-]{32,}/g, 'kwd_…'],
  [/:\/\/[^/\s@"]+@/g, '://…@'],
];

/** What may be a JWT, or have one in it. */
const dotted = /[\w-]+(?:\.[\w-]*)*/g;
const head = 'eyJ';
const shortestPart = 8;

/** Its head is JSON in base64url. Each word is read once: a pattern that is tried at each `eyJ` takes a minute for a long one. */
function withoutJwt(word: string): string {
  const parts = word.split('.');
  for (const [index, part] of parts.entries()) {
    const at = part.indexOf(head);
    const isHead = at !== -1 && part.length - at >= head.length + shortestPart;
    if (!isHead || (parts[index + 1]?.length ?? 0) < shortestPart) continue;
    return [...parts.slice(0, index), `${part.slice(0, at)}${head}…`].join('.');
  }
  return word;
}

/** A text that is to be kept or shown, without the tokens, JWTs and passwords of URLs that are in it by somebody's mistake. */
export function withoutCredentials(text: string): string {
  return forms.reduce((masked, [form, shown]) => masked.replaceAll(form, shown), text.replaceAll(dotted, withoutJwt));
}
