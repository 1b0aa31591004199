/** The service as it may be later: its answers have fields and values that today's OpenAPI document does not know. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Owner } from '../support/process.ts';

/** Objects that have the names of others as members: tags, policies, fields by name. */
const maps = ['tags', 'tags_all', 'default_tags', 'policy', 'before', 'after', 'data', 'changes', 'desired'];

/** Values of fields that docs/versioning.md calls open. */
const later: Record<string, string> = { key_usage: 'USAGE_OF_LATER', customer_master_key_spec: 'SPEC_OF_LATER' };

function grown(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(grown);
  if (value === null || typeof value !== 'object') return value;
  const members = Object.entries(value).map(([name, member]) => [
    name,
    later[name] ?? (maps.includes(name) ? member : grown(member)),
  ]);
  return { ...Object.fromEntries(members), of_later: { is_known: false } };
}

async function ask(target: string, { method = 'GET', url = '/', headers }: IncomingMessage, body: string) {
  const { authorization = '', 'content-type': type = 'application/json' } = headers;
  return fetch(new URL(url, target), {
    method,
    headers: { authorization, ...(body === '' ? {} : { 'content-type': type }) },
    ...(body === '' ? {} : { body }),
  });
}

/** Starts it in front of a service of today; it is stopped with its owner. @returns its URL. */
export async function startLaterService(owner: Owner, target: string): Promise<string> {
  const server = createServer(async (request, response) => {
    try {
      const answer = await ask(target, request, await text(request));
      const body = JSON.stringify(grown(await answer.json()));
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(body);
    } catch {
      response.destroy();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  owner.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
