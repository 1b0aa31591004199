/** Links of OpenAPI: what can be done with a thing once it is made. Programs that follow them need not guess ids. */
import type { OpenAPIV3_1 } from 'openapi-types';

type Operation = { route: string; operation: OpenAPIV3_1.OperationObject };
type Links = Record<string, OpenAPIV3_1.LinkObject>;

const byId = { id: '$response.body#/id' };
const byName = { name: '$response.body#/name' };

/** By the operation that makes the thing: the path of the thing, and what of the answer is in it. */
const made: Record<string, [path: string, parameters: Record<string, string>]> = {
  createKey: ['/v1/keys/{id}', byId],
  putKey: ['/v1/keys/{id}', byId],
  importKey: ['/v1/keys/{id}', byId],
  createImport: ['/v1/imports/{id}', byId],
  createProvider: ['/v1/providers/{name}', byName],
  createToken: ['/v1/tokens/{id}', byId],
  createBinding: ['/v1/access/bindings/{id}', byId],
  putRole: ['/v1/access/roles/{name}', byName],
};

/** Puts the links into the answers. @returns those of the components, each by the operation that it leads to. */
export function link(operations: Operation[]): Links {
  const links: Links = {};
  for (const { operation } of operations) {
    const way = made[operation.operationId ?? ''];
    if (way === undefined) continue;
    const [path, parameters] = way;
    const targets = operations.filter(({ route }) => route === path || route.startsWith(`${path}/`));
    const names = targets.map((target) => target.operation.operationId ?? '');
    for (const [index, name] of names.entries()) {
      const description = targets[index]?.operation.summary;
      links[name] = { operationId: name, parameters, ...(description === undefined ? {} : { description }) };
    }
    const references = Object.fromEntries(names.map((name) => [name, { $ref: `#/components/links/${name}` }]));
    for (const status of ['200', '201', '202']) {
      const answer = operation.responses?.[status] as OpenAPIV3_1.ResponseObject | undefined;
      if (answer !== undefined) answer.links = references;
    }
  }
  return links;
}
