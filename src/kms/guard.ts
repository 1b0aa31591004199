/**
 * Connections that lead to no place where no KMS is. What a name stands for is looked at each time that it is looked up: it may
 * have stood for something else when the provider was made.
 */
import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { isForbiddenAddress, isLoopbackAddress, isLoopbackHost } from '../domain/endpoint-rules.ts';

type Found = (error: Error | null, addresses: LookupAddress[]) => void;
type Resolve = (host: string, options: LookupOptions & { all: true }, found: Found) => void;
type Callback = (error: Error | null, address?: string | LookupAddress[], family?: number) => void;

/** The SDK takes it for a failed connection: nothing was sent. */
class ForbiddenAddress extends Error {
  override readonly name = 'ForbiddenAddress';
  readonly code = 'ECONNREFUSED';
}

export type Guard = {
  /** Whether a name may stand for this machine. */
  takesLoopback: boolean;
  /** Of names; DNS. */
  resolve?: Resolve;
};

function faultOf(host: string, address: string, { takesLoopback }: Guard): ForbiddenAddress | null {
  // A name of elsewhere that stands for this machine leads to what listens here for this machine alone.
  const isInside = !takesLoopback && isLoopbackAddress(address) && !isLoopbackHost(host);
  if (!isInside && !isForbiddenAddress(address)) return null;
  return new ForbiddenAddress(`${host} leads to ${address}, where no KMS is: nothing was sent`);
}

/** What `node:net` asks for the addresses of a name. Any address that is forbidden spoils the name. */
function guardedLookup(guard: Guard) {
  const resolve = guard.resolve ?? lookup;
  return (host: string, options: LookupOptions, callback: Callback): void => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error);
      const fault = addresses.map(({ address }) => faultOf(host, address, guard)).find((one) => one !== null);
      if (fault !== undefined && fault !== null) return callback(fault);
      if (options.all === true) return callback(null, addresses);
      const [first] = addresses;
      callback(null, first?.address, first?.family);
    });
  };
}

type OnConnection = (error: Error | null, stream: Duplex) => void;
type Connect<Options> = (options: Options, callback?: OnConnection) => Duplex | null | undefined;

/** Nobody looks up what is an address already. */
function guardedConnect<Options extends { host?: string | null | undefined }>(
  connect: Connect<Options>,
  guard: Guard,
): Connect<Options> {
  const lookup = guardedLookup(guard);
  return (options, callback) => {
    const host = options.host?.replace(/^\[|\]$/g, '') ?? '';
    const fault = isIP(host) === 0 ? null : faultOf(host, host, guard);
    if (fault === null) return connect({ ...options, lookup }, callback);
    process.nextTick(() => callback?.(fault, undefined as never));
    return undefined;
  };
}

/** Agents for both protocols. */
export function guardedAgents(
  options: http.AgentOptions,
  guard: Guard,
): { httpAgent: http.Agent; httpsAgent: https.Agent } {
  const httpAgent = new http.Agent(options);
  const httpsAgent = new https.Agent(options);
  httpAgent.createConnection = guardedConnect(httpAgent.createConnection.bind(httpAgent), guard);
  httpsAgent.createConnection = guardedConnect(httpsAgent.createConnection.bind(httpsAgent), guard);
  return { httpAgent, httpsAgent };
}
