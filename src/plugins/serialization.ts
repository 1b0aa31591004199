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
    // JSON is UTF-8, and its types have no charset (RFC 8259), which Fastify adds. Where an operation has answers of several types,
    // what oapi-codegen generates takes a type for itself alone.
    app.addHook('onSend', async (_request, reply) => {
      const [type = '', charset] = String(reply.getHeader('content-type') ?? '').split(';');
      if (charset !== undefined && type.endsWith('json')) reply.header('content-type', type);
    });
  },
  { name: 'serialization', dependencies: ['validation'] },
);
