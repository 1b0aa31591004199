/** URLs of a KMS. */

/** What is wrong with the URL of an endpoint; null: nothing. What it names need not be there. */
export function endpointFault(text: string): string | null {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    return 'It must be a URL of http or https with a host, such as https://kms.example:8443.';
  }
  if (url.username !== '' || url.password !== '') {
    return 'A user and a password in a URL are shown to every reader, and KMS takes none: leave them out.';
  }
  return null;
}
