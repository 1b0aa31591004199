/** The page at /docs: Scalar's reference on the OpenAPI document. All that it loads comes from here. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import fastify, { type FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

const folder = path.resolve(import.meta.dirname, 'reference');
const types = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };

/** Seconds for which a browser keeps Scalar's script. */
const scriptAge = 3600;

/** Scalar writes its styles into the page. */
const contentSecurityPolicy = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'", "'unsafe-inline'"],
    imgSrc: ["'self'", 'data:'],
    connectSrc: ["'self'"],
    frameAncestors: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
  },
};

export default fp(
  async (app) => {
    const options = { schema: { hide: true }, helmet: { contentSecurityPolicy } };
    const serve = (url: string, file: string) =>
      app.get(url, options, async (_request, reply) => {
        const type = types[path.extname(file).slice(1) as keyof typeof types];
        return reply.type(`${type}; charset=utf-8`).send(await readFile(path.join(folder, file), 'utf8'));
      });
    serve('/docs', 'page.html');
    serve('/docs/', 'page.html');
    for (const file of ['page.js', 'page.css', 'icon.svg']) serve(`/docs/${file}`, file);
    let scalar: Promise<FastifyInstance> | undefined;
    app.get('/docs/scalar.js', options, async (_request, reply) => {
      scalar ??= loadScalar();
      const { body } = await (await scalar).inject('/js/scalar.js');
      return reply.type('text/javascript; charset=utf-8').header('cache-control', `max-age=${scriptAge}`).send(body);
    });
  },
  { name: 'reference', dependencies: ['browsers', 'docs'] },
);

/** Five megabytes, for which no start waits: they are loaded once somebody opens the page. */
async function loadScalar(): Promise<FastifyInstance> {
  const { default: reference } = await import('@scalar/fastify-api-reference');
  const host = fastify();
  await host.register(reference, { routePrefix: '/', configuration: { url: '/openapi.json' } });
  return host;
}
