/** The page at /docs: Scalar's reference, with examples that can be sent as they are. */

/** What stands for a thing's own name in the examples of paths, such as the id of a key. */
const standIns = new Set();
/** Collections, with the id or the name of what was made last on this page. */
const made = new Map();

/** The document as the page shows it. */
export const openapi = await read('/openapi.json');
const caller = await read('/v1/access/me');
const isOpen = caller?.kind === 'anonymous';

async function read(path, headers = {}) {
  const answer = await fetch(path, { headers });
  return answer.ok ? answer.json() : undefined;
}

/** Makes the document one whose examples can be sent. */
function prepare(document) {
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
  for (const operation of operations) {
    operation.parameters?.forEach(prepareParameter);
    if (isOpen) delete operation.security;
  }
  if (isOpen) {
    delete document.security;
    delete document.components.securitySchemes;
  }
  document.servers = [{ url: window.location.origin }];
  document.info.description += `
- On this page the id in an example stands for what you made last here; to read, for the newest there is.
- The OpenAPI document: [JSON](/openapi.json), [YAML](/openapi.yaml).`;
  return document;
}

/** What nobody has to send is not sent before somebody says so. */
function prepareParameter(parameter) {
  const { in: place, required, example } = parameter;
  if (example === undefined) return;
  if (place === 'path') standIns.add(example);
  if (required) return;
  delete parameter.example;
  parameter.examples = { example: { value: example, 'x-disabled': true } };
}

/** Sends a request of the page. The id of an example is nobody's: it would never be found. */
export async function send(input, init) {
  const request = new Request(input, init);
  const url = new URL(request.url);
  const { headers, method, signal } = request;
  const isRead = method === 'GET' || method === 'HEAD';
  const body = isRead ? null : await request.arrayBuffer();
  const standIn = [...standIns].find((one) => url.pathname.includes(`/${one}`) || url.search.includes(one));
  if (standIn !== undefined) {
    const real = await nameOf(collectionOf(url.pathname, standIn), headers, isRead);
    if (real !== undefined) url.href = url.href.replace(standIn, encodeURIComponent(real));
  }
  const response = await fetch(url, { method, headers, signal, body: body?.byteLength ? body : null });
  if (method === 'POST' && (response.status === 201 || response.status === 202)) await remember(url, response.clone());
  setTimeout(showAnswer);
  return response;
}

/** On a phone it is below the form, where nobody would see that it came. */
function showAnswer() {
  const answer = document.querySelector('section[aria-label=Response]');
  if (answer?.getBoundingClientRect().top > window.innerHeight / 2) answer.scrollIntoView();
}

function collectionOf(path, standIn) {
  const at = path.indexOf(`/${standIn}`);
  return path.slice(0, at === -1 ? path.lastIndexOf('/') : at);
}

/** A write goes to nothing but what was made here. */
async function nameOf(collection, headers, isRead) {
  if (made.has(collection) || !isRead) return made.get(collection);
  const authorization = headers.get('authorization');
  const page = await read(`${collection}?limit=1`, authorization === null ? {} : { authorization });
  const newest = page?.items[0];
  return newest?.id ?? newest?.name;
}

async function remember({ pathname }, response) {
  const { id, name } = await response.json();
  if (id !== undefined || name !== undefined) made.set(pathname, id ?? name);
}

window.Scalar.createApiReference('#reference', {
  content: prepare(openapi),
  slug: 'api',
  customFetch: send,
  metaData: { title: 'Keyward API' },
  favicon: '/docs/icon.svg',
  authentication: { preferredSecurityScheme: 'bearer' },
  defaultHttpClient: { targetKey: 'shell', clientKey: 'curl' },
  showOperationId: true,
  documentDownloadType: 'none',
  hideClientButton: true,
  showDeveloperTools: 'never',
  // Nothing is asked of another host, and nothing is told to one.
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
});
