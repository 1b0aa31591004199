/** The connections of one provider's clients. */
import type http from 'node:http';
import { type Guard, guardedAgents } from './guard.ts';

/** Milliseconds after which a connection that nobody takes is given up. */
export const connectTimeout = 2000;

const agentOptions = { maxSockets: 200, keepAlive: true };

/**
 * Connections are kept for later calls. A firewall, a NAT gateway or a failover may forget all of them at once, and tell
 * neither end: each call would then find out by its own time-out, one connection after another.
 */
export class Connections {
  readonly #agents: http.Agent[] = [];
  readonly #guard: Guard;

  constructor(guard: Guard) {
    this.#guard = guard;
  }

  /**
   * The SDK's options for one client; each has a pool of its own, so that reads don't crowd out writes.
   * @param requestTimeout milliseconds for which an answer is waited for.
   */
  handlerFor(requestTimeout: number) {
    const { httpAgent, httpsAgent } = guardedAgents(agentOptions, this.#guard);
    this.#agents.push(httpAgent, httpsAgent);
    return { connectionTimeout: connectTimeout, requestTimeout, throwOnRequestTimeout: true, httpAgent, httpsAgent };
  }

  /** After a call that had no answer in time: who knows whether those that wait for their next call still lead anywhere. */
  dropIdle(): void {
    for (const { freeSockets } of this.#agents) {
      for (const socket of Object.values(freeSockets).flatMap((sockets) => sockets ?? [])) socket.destroy();
    }
  }
}
