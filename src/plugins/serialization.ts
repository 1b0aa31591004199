/** Answers are written by their schemas. */
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler';
import fp from 'fastify-plugin';
import { schemas } from './validation.ts';

type Compile = ReturnType<ReturnType<typeof SerializerSelector>>;
type Serialize = ReturnType<Compile>;

const named = Object.fromEntries(schemas.map((schema) => [(schema as { $id?: string }).$id, schema]));
const compile = SerializerSelector()(named, {});
/** By the text of their schema: most are those of a problem or a key. */
const serializers = new Map<string, Serialize>();

function serializerOf(route: Parameters<Compile>[0]): Serialize {
  const text = JSON.stringify(route.schema);
  const serialize = serializers.get(text) ?? compile(route);
  serializers.set(text, serialize);
  return serialize;
}

/**
 * One serializer for each schema, made when it is first used. Fastify makes one for each status of each route at the start, which
 * was a quarter of its work.
 */
export default fp(
  async (app) => {
    app.setSerializerCompiler(({ schema, method, url, httpStatus = '' }) => {
      let serialize: Serialize | undefined;
      return (answer) => {
        serialize ??= serializerOf({ schema, method, url, httpStatus });
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
