/** Where signed requests may go: which hosts an endpoint may name, and which addresses a name may lead to. */
import { isAwsKmsHost } from './regions.ts';

export type EndpointRules = {
  /** Of the service's own configuration; null: AWS. */
  configured: string | null;
  /** Patterns of hosts, with a port or without, and http:// before those that are spoken to in the open; null: AWS's KMS. */
  allowed: readonly string[] | null;
  /** Whether any loopback address is allowed, as on a laptop. */
  takesLoopback: boolean;
};

/** What is wrong with the host of an endpoint; null: nothing. What is no URL is for others to tell. */
export function hostFault(endpoint: string, { configured, allowed, takesLoopback }: EndpointRules): string | null {
  const url = URL.parse(endpoint);
  if (url === null) return null;
  const host = bare(url.hostname);
  if (configured !== null && url.host === URL.parse(configured)?.host) return null;
  if (isForbiddenAddress(host)) return `${host} is an address where no KMS is.`;
  if (takesLoopback && isLoopbackHost(host)) return null;
  const isAllowed =
    allowed === null
      ? url.protocol === 'https:' && isAwsKmsHost(host)
      : allowed.some((pattern) => matches(pattern, url, host));
  if (isAllowed) return null;
  return `${url.host} is none of the hosts that ALLOWED_KMS_ENDPOINTS lets signed requests go to by ${url.protocol.slice(0, -1)}.`;
}

function standardPort({ protocol }: URL): string {
  return protocol === 'https:' ? '443' : '80';
}

function bare(host: string): string {
  return host.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/** `*` stands for one label. Whoever is on the way sees what goes by http, and can answer in place of a KMS. */
function matches(pattern: string, url: URL, host: string): boolean {
  const [, scheme, name = '', wantedPort] =
    /^(https?:)?(?:\/\/)?(.*?)(?::(\d+|\*))?$/.exec(pattern.toLowerCase()) ?? [];
  const port = url.port || standardPort(url);
  if (url.protocol !== (scheme ?? 'https:') && (scheme !== undefined || !isLoopbackHost(host))) return false;
  if (wantedPort !== undefined && wantedPort !== '*' && wantedPort !== port) return false;
  const source = bare(name)
    .split('*')
    .map((part) => part.replaceAll(/[.\\+?^${}()|[\]]/g, '\\$&'))
    .join('[^.:]+');
  return new RegExp(`^${source}$`).test(host);
}

/** Whether a host of a URL is this machine by its own word. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || isLoopbackAddress(host);
}

/** Of an address as DNS or a URL writes it. */
export function isLoopbackAddress(address: string): boolean {
  const four = ipv4In(address);
  return four === null ? address === '::1' : four[0] === 127;
}

/**
 * Whether an address is one where no KMS is and where credentials may be had or seen: link-local ones, those of the metadata
 * services of clouds, multicast ones, and "this host", in all ways to write them.
 */
export function isForbiddenAddress(address: string): boolean {
  const four = ipv4In(address);
  if (four !== null) {
    const [a = 0, b = 0, c, d] = four;
    const isMetadata = ['100.100.100.200', '168.63.129.16', '192.0.0.192'].includes(`${a}.${b}.${c}.${d}`);
    return a === 0 || a >= 224 || (a === 169 && b === 254) || isMetadata;
  }
  if (!address.includes(':')) return false;
  const text = address.toLowerCase().split('%')[0] ?? '';
  return (
    text === '::' ||
    /^f(e[89ab]|f)/.test(text) ||
    /^fd00:0?ec2:/.test(text) ||
    /^fd20:0?0?ce:/.test(text) ||
    text.startsWith('64:ff9b:1:')
  );
}

/** The IPv4 address that an address is, or has in it (mapped, compatible, NAT64, 6to4). */
function ipv4In(address: string): number[] | null {
  const plain = /^(?:(?:::|::ffff:|::ffff:0:|64:ff9b::))?(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/i.exec(address);
  if (plain !== null) return plain.slice(1).map(Number);
  const groups = /^(?:::|::ffff:|::ffff:0:|64:ff9b::)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address);
  const tunnel = /^2002:([0-9a-f]{1,4}):([0-9a-f]{1,4}):/i.exec(address);
  const [, high, low] = groups ?? tunnel ?? [];
  if (high === undefined || low === undefined) return null;
  const [one, two] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return [one >> 8, one & 255, two >> 8, two & 255];
}
