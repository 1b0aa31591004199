import { test } from 'tap';
import { argumentNames, argumentTable, nothingDeclared } from '../../src/domain/arguments.ts';
import { KeyCreate, keySchemas } from '../../src/schemas/key.ts';
import { ownPolicy } from '../support/kms-truth.ts';
import { startService } from '../support/service.ts';

type Schema = {
  anyOf?: { $ref?: string }[];
  type?: string | string[];
  enum?: unknown[];
  minimum?: number;
  minLength?: number;
};

/** A value that the schema takes and that is not the default. */
function otherThanDefault({ type, enum: values, minimum = 0, minLength = 0 }: Schema, standard: unknown): unknown {
  if (values !== undefined) return values.find((value) => value !== null && value !== standard);
  if (type?.includes('boolean')) return standard !== true;
  return type?.includes('integer') ? minimum : 'x'.repeat(minLength + 1);
}

/** What stands for an argument: a set of values has a schema of its own. */
function schemaOf(name: keyof typeof KeyCreate.properties): Schema {
  const schema = KeyCreate.properties[name] as Schema;
  const target = schema.anyOf?.[0]?.$ref?.slice(0, -1);
  return (keySchemas.find((one) => (one as { $id?: string }).$id === target) ?? schema) as Schema;
}

const lockout = { ...ownPolicy('x'), Statement: [{ ...ownPolicy('x').Statement[0], Action: 'kms:Decrypt' }] };

test('each argument that KMS does not tell is kept, changed, refused, taken back and brought back like the others', async (t) => {
  const names = argumentNames.filter((name) => !('shownIn' in argumentTable[name]));
  const given = Object.fromEntries(
    names.map((name) => [name, otherThanDefault(schemaOf(name), nothingDeclared[name])]),
  );
  const standard = Object.fromEntries(names.map((name) => [name, nothingDeclared[name]]));
  const none = Object.fromEntries(names.map((name) => [name, null]));
  const { call } = await startService(t);
  const { status, body: key } = await call('POST', '/v1/keys', given);
  t.equal(status, 201);
  const at = `/v1/keys/${key.id}`;
  t.match((await call('GET', at)).body, given, 'declared');
  t.match((await call('PATCH', at, none)).body, standard, 'null restores the default');
  t.equal(
    (await call('PATCH', at, { ...given, bypass_policy_lockout_safety_check: false, policy: lockout })).status,
    422,
  );
  t.match((await call('GET', at)).body, standard, 'a refused change is taken back');
  t.match((await call('POST', `${at}/rollback`, { generation: 1 })).body, given, 'brought back');
  const { body } = await call<{ items: { changes: object }[] }>('GET', `${at}/revisions?limit=1`);
  t.hasProps(body.items[0]?.changes ?? {}, names, 'and each change is told');
});
