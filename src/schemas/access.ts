/** Who may do what: tokens, roles, bindings, and what a caller is told of itself. */
import { type Static, Type } from 'typebox';
import { permissionNames } from '../domain/permissions.ts';
import { nullable, nullableRef, ref, stringEnum, Tags, Timestamp } from './common.ts';

const subjectText = (description: string) => Type.String({ minLength: 1, maxLength: 256, description });
const roleName = Type.String({
  pattern: '^[a-z][a-z0-9-]{0,62}$',
  description: 'viewer, operator, editor, admin, or one of your own.',
});
const tokenName = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' });
const expiresAt = 'When it ends; null: never.';

export const Permission = stringEnum(permissionNames, { $id: 'Permission', description: 'See docs/access.md.' });

const Providers = nullable(
  Type.Array(Type.String({ minLength: 1, maxLength: 63 }), {
    minItems: 1,
    maxItems: 100,
    description: 'Only there; null: everywhere.',
  }),
);
const LimitTags = nullableRef(Tags);

export const BindingSubject = Type.Object(
  {
    token: Type.Optional(subjectText('The name of an API token.')),
    user: Type.Optional(subjectText('The `sub` of a JWT.')),
    group: Type.Optional(subjectText('A group that a JWT lists.')),
    issuer: Type.Optional(
      nullable(subjectText('Of a user or a group, where there are several issuers: which one vouches for it.')),
    ),
  },
  { $id: 'BindingSubject', additionalProperties: false, description: 'One of token, user and group.' },
);

export const BindingCreate = Type.Object(
  { role: roleName, subject: ref(BindingSubject), providers: Type.Optional(Providers), tags: Type.Optional(LimitTags) },
  { $id: 'BindingCreate', additionalProperties: false },
);

export const Binding = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    role: Type.String(),
    subject: ref(BindingSubject),
    providers: Providers,
    tags: LimitTags,
  },
  { $id: 'Binding', additionalProperties: false, description: 'Gives a role to somebody.' },
);

export const Role = Type.Object(
  {
    name: Type.String(),
    permissions: Type.Array(ref(Permission)),
    built_in: Type.Boolean({ description: 'Nobody can change it.' }),
  },
  { $id: 'Role', additionalProperties: false },
);

export const RolePut = Type.Object(
  { name: Type.Optional(roleName), permissions: Type.Array(ref(Permission), { maxItems: 100 }) },
  { $id: 'RolePut', additionalProperties: false },
);

export const TokenCreate = Type.Object(
  {
    name: tokenName,
    expires_at: Type.Optional(nullable(Type.String({ format: 'date-time', description: expiresAt }))),
    role: Type.Optional(nullable(roleName)),
    providers: Type.Optional(Providers),
    tags: Type.Optional(LimitTags),
  },
  { $id: 'TokenCreate', additionalProperties: false },
);

const tokenFields = {
  id: Type.String({ format: 'uuid' }),
  name: Type.String(),
  expires_at: nullable(Type.String({ format: 'date-time', description: expiresAt })),
  last_used_at: nullable(Type.String({ format: 'date-time', description: 'To the minute; null: not yet.' })),
  created_by: Type.String(),
  created_at: Timestamp,
};

export const Token = Type.Object(tokenFields, { $id: 'Token', additionalProperties: false });

export const NewToken = Type.Object(
  { ...tokenFields, token: Type.String({ description: 'The token itself, shown this once.' }) },
  { $id: 'NewToken', additionalProperties: false },
);

export const AccessMe = Type.Object(
  {
    subject: Type.String({ description: 'As events name it.' }),
    kind: stringEnum(['token', 'jwt', 'anonymous']),
    groups: Type.Array(Type.String()),
    bindings: Type.Array(ref(Binding)),
    permissions: Type.Array(ref(Permission), { description: 'What may be done somewhere; bindings say where.' }),
  },
  { $id: 'AccessMe', additionalProperties: false },
);

const list = (items: Parameters<typeof ref>[0], $id: string) =>
  Type.Object(
    { items: Type.Array(ref(items)), next_cursor: nullable(Type.String()) },
    { $id, additionalProperties: false },
  );

export const BindingList = list(Binding, 'BindingList');
export const RoleList = list(Role, 'RoleList');
export const TokenList = list(Token, 'TokenList');

export const RoleParams = Type.Object({ name: Type.String() });
export const IdParams = Type.Object({ id: Type.String() });

export type BindingCreate = Static<typeof BindingCreate>;
export type Binding = Static<typeof Binding>;
export type BindingSubject = Static<typeof BindingSubject>;
export type Role = Static<typeof Role>;
export type RolePut = Static<typeof RolePut>;
export type Token = Static<typeof Token>;
export type NewToken = Static<typeof NewToken>;
export type TokenCreate = Static<typeof TokenCreate>;
export type AccessMe = Static<typeof AccessMe>;

export const accessSchemas = [
  ...[Permission, BindingSubject, BindingCreate, Binding, BindingList, Role, RolePut, RoleList],
  ...[TokenCreate, Token, NewToken, TokenList, AccessMe],
];
