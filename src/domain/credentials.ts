/** Credentials where they don't belong: in a path, the name of a client, the words of an error. */

const forms: [form: RegExp, shown: string][] = [
  [/kwd_[\w-]{32,}/g, 'kwd_…'],
  // Of a JWT: its head is JSON in base64url.
  [/eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*/g, 'eyJ…'],
  [/:\/\/[^/\s@"]+@/g, '://…@'],
];

/** A text that is to be kept or shown, without the tokens, JWTs and passwords of URLs that are in it by somebody's mistake. */
export function withoutCredentials(text: string): string {
  return forms.reduce((masked, [form, shown]) => masked.replaceAll(form, shown), text);
}
