/** The page at /docs: Scalar's reference on the OpenAPI document. All that it loads comes from here. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { gunzipSync } from 'node:zlib';
import { negotiate } from '@fastify/accept-negotiator';
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
    let packed: Promise<Buffer> | undefined;
    app.get('/docs/scalar.js', options, async (request, reply) => {
      packed ??= packScalar();
      packed.catch(() => {
        packed = undefined;
      });
      const script = await packed;
      const takesGzip = negotiate(request.headers['accept-encoding'] ?? '', ['gzip']) === 'gzip';
      if (takesGzip) reply.header('content-encoding', 'gzip');
      reply.header('vary', 'accept-encoding').header('cache-control', `max-age=${scriptAge}`);
      return reply.type('text/javascript; charset=utf-8').send(takesGzip ? script : gunzipSync(script));
    });
  },
  { name: 'reference', dependencies: ['browsers', 'docs'] },
);

/** Packed once somebody opens the page: no start waits for it. */
async function packScalar(): Promise<Buffer> {
  const thread = new Worker(new URL('reference/scalar.ts', import.meta.url), {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const [packed] = await once(thread, 'message');
  return Buffer.from(packed);
}
