/** Answers are written by their schemas. */
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler';
import fp from 'fastify-plugin';

/**
 * One serializer for each schema, made when it is first used. Fastify makes one for each status of each route at the start, though
 * most are those of a problem or a key, and that was a quarter of its work.
 */
export default fp(
  async (app) => {
    const compile = SerializerSelector()(app.getSchemas(), {});
    type Serialize = ReturnType<typeof compile>;
    const known = new Map<string, Serialize>();
    app.setSerializerCompiler(({ schema, method, url, httpStatus = '' }) => {
      const text = JSON.stringify(schema);
      return (answer) => {
        const serialize = known.get(text) ?? compile({ schema, method, url, httpStatus });
        known.set(text, serialize);
        return serialize(answer);
      };
    });
  },
  { name: 'serialization', dependencies: ['validation'] },
);
