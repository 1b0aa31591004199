import { readFile } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { test } from 'tap';
import { Access, type Grant, isWithinLimit, type Place, unlimited } from '../../src/domain/access.ts';
import { isTokenForm, tokenOf } from '../../src/domain/api-token.ts';
import {
  builtInRoles,
  operationNeeds,
  type Permission,
  permissionNames,
  permissions,
} from '../../src/domain/permissions.ts';

const name = fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor');
const tags = fc.dictionary(fc.constantFrom('team', 'env', 'toString'), fc.constantFrom('x', 'y', ''));
const permission = fc.constantFrom<Permission[]>('keys:read', 'keys:update', 'keys:create', 'events:read');
const grant: fc.Arbitrary<Grant> = fc.record({
  permissions: fc.array(permission, { maxLength: 3 }),
  providers: fc.option(fc.array(name, { minLength: 1, maxLength: 2 })),
  tags: fc.option(tags),
});
const place: fc.Arbitrary<Place> = fc.record({ provider: name, tags });

test('a right is there exactly when one of the grants that has it reaches the key', async (t) => {
  fc.assert(
    fc.property(fc.array(grant, { maxLength: 4 }), permission, place, (grants, wanted, at) => {
      const access = new Access(grants);
      const holding = grants.filter(({ permissions }) => permissions.includes(wanted));
      const may = holding.some((one) => isWithinLimit(one, at));
      t.equal(access.may(wanted, at), may);
      t.equal(access.hasSomewhere(wanted), holding.length > 0);
      if (access.hasEverywhere(wanted)) t.ok(may);
      if (may) t.ok(access.mayAt(wanted, at.provider), 'a right on a key is one at its provider');
      t.equal(access.permissionsFor(at).includes(wanted), may && wanted.startsWith('keys:'));
    }),
  );
});

test('one more grant takes nothing away, and one more tag in a limit gives nothing', async (t) => {
  fc.assert(
    fc.property(fc.array(grant, { maxLength: 3 }), grant, permission, place, (grants, more, wanted, at) => {
      const [before, after] = [new Access(grants), new Access([...grants, more])];
      if (before.may(wanted, at)) t.ok(after.may(wanted, at));
      const narrower = { ...more, tags: { ...more.tags, team: 'x' } };
      if (new Access([narrower]).may(wanted, at)) t.equal(at.tags['team'], 'x');
    }),
  );
});

test('a limit to a tag is not met by what an object has by itself', async (t) => {
  const limit = { providers: null, tags: { toString: 'x' } };
  t.notOk(isWithinLimit(limit, { provider: 'default', tags: {} }));
  t.notOk(isWithinLimit({ providers: [], tags: null }, { provider: 'default', tags: {} }), 'no provider is none');
});

test('roles grow from viewer to admin, and only admin writes what leads out of the house', async (t) => {
  const { viewer = [], operator = [], editor = [], admin = [] } = builtInRoles;
  for (const [less, more] of [
    [viewer, operator],
    [operator, editor],
    [editor, admin],
  ]) {
    t.ok(less?.every((one) => more?.includes(one)));
  }
  t.same(admin, permissionNames);
  for (const one of ['providers:write', 'tokens:write', 'access:write', 'keys:bypass-lockout'] as const) {
    t.notOk(editor.includes(one), one);
  }
  t.ok(permissionNames.every((one) => unlimited.hasEverywhere(one)));
  for (const need of Object.values(operationNeeds)) if (typeof need !== 'string') t.ok(admin.includes(need.permission));
});

test('a token with a letter wrong is known to be none; one that an operator has chosen is taken', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.nat(42), (bytes, at) => {
      const token = tokenOf(Buffer.from(bytes).toString('base64url'));
      t.ok(isTokenForm(token));
      const place = at + 4;
      const other = token[place] === 'A' ? 'B' : 'A';
      t.notOk(isTokenForm(token.slice(0, place) + other + token.slice(place + 1)));
    }),
  );
  t.ok(isTokenForm(`kwd_${'o'.repeat(32)}`));
  for (const text of ['', 'kwd_', `kwd_${'o'.repeat(31)}`, `kwd_${'o'.repeat(32)} `, `abc_${'o'.repeat(40)}`]) {
    t.notOk(isTokenForm(text), text);
  }
});

test('docs/access.md lists every permission as the code describes it', async (t) => {
  const page = await readFile(path.resolve(import.meta.dirname, '../../docs/access.md'), 'utf8');
  const listed = [...page.matchAll(/^\| `([a-z:-]+)` \| (.*) \|$/gm)].map(([, name, meaning]) => [name, meaning]);
  t.same(listed, Object.entries(permissions));
});
