/** Answers are written by their schemas. */
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler';
import fp from 'fastify-plugin';

/**
 * One serializer for each schema. Fastify makes one for each status of each route, though most are those of a problem or a key,
 * and that was a quarter of the work of a start.
 */
export default fp(
  async (app) => {
    const compile = SerializerSelector()(app.getSchemas(), {});
    const known = new Map<string, ReturnType<typeof compile>>();
    app.setSerializerCompiler(({ schema, method, url, httpStatus = '' }) => {
      const text = JSON.stringify(schema);
      const serializer = known.get(text) ?? compile({ schema, method, url, httpStatus });
      known.set(text, serializer);
      return serializer;
    });
  },
  { name: 'serialization', dependencies: ['validation'] },
);
