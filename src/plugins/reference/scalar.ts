/** A thread that packs Scalar's script and ends: what it takes to load five megabytes goes with it, and nobody waits meanwhile. */
import { parentPort } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import reference from '@scalar/fastify-api-reference';
import fastify from 'fastify';

const host = fastify();
await host.register(reference, { routePrefix: '/', configuration: { url: '/openapi.json' } });
const { rawPayload } = await host.inject('/js/scalar.js');
parentPort?.postMessage(gzipSync(rawPayload, { level: 9 }));
