/** Who may do what: tokens, roles, bindings, and what a caller is told of itself. */
import { type Static, Type } from 'typebox';
import { permissionNames } from '../domain/permissions.ts';
import { KeyId, nullable, nullableRef, openEnum, pageOf, ref, stringEnum, Tags, timestamp } from './common.ts';

const subjectText = (description: string) => Type.String({ minLength: 1, maxLength: 256, description });
const roleName = Type.String({
  pattern: '^[a-z][a-z0-9-]{0,62}$',
  description: 'viewer, operator, editor, admin, or one of your own.',
});
const tokenName = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
  description: '1 to 63 letters, digits and . _ -, a letter or digit first.',
});
const expiresAt = 'When it ends; null: never.';

export const Permission = stringEnum(permissionNames, { $id: 'Permission', description: 'See docs/access.md.' });

/** In answers: there will be more. */
const openPermission = openEnum(permissionNames);

const Providers = nullable(
  Type.Array(Type.String({ minLength: 1, maxLength: 63 }), {
    minItems: 1,
    maxItems: 100,
    description: 'Only there; null: everywhere.',
  }),
);
const LimitTags = nullableRef(Tags, { description: 'Only keys that have all of these; null: all keys.' });

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
  { $id: 'BindingCreate', additionalProperties: false, description: 'A role to give to somebody.' },
);

const BoundSubject = Type.Object(BindingSubject.properties, {
  $id: 'BoundSubject',
  description: 'Who has the role: one of token, user and group.',
});

export const Binding = Type.Object(
  {
    id: Type.String({ ...KeyId, description: 'Of the binding.' }),
    role: Type.String({ description: 'The name of the role.' }),
    subject: ref(BoundSubject),
    providers: Providers,
    tags: LimitTags,
  },
  { $id: 'Binding', description: 'Gives a role to somebody.' },
);

export const Role = Type.Object(
  {
    name: Type.String({ description: 'Its name.' }),
    permissions: Type.Array(openPermission, { description: 'What it allows.' }),
    built_in: Type.Boolean({ description: 'Nobody can change it.' }),
  },
  { $id: 'Role', description: 'A set of permissions.' },
);

export const RolePut = Type.Object(
  {
    name: Type.Optional(roleName),
    permissions: Type.Array(ref(Permission), { maxItems: 100, description: 'What it is to allow.' }),
  },
  { $id: 'RolePut', additionalProperties: false, description: 'A role as it is to be.' },
);

export const TokenCreate = Type.Object(
  {
    name: tokenName,
    expires_at: Type.Optional(nullable(Type.String({ format: 'date-time', description: expiresAt }))),
    role: Type.Optional(nullable(roleName)),
    providers: Type.Optional(Providers),
    tags: Type.Optional(LimitTags),
  },
  {
    $id: 'TokenCreate',
    additionalProperties: false,
    description: 'A token to make, with the role that it is to have.',
  },
);

const tokenFields = {
  id: Type.String({ ...KeyId, description: 'Of the token; the token itself is shown once.' }),
  name: Type.String({ description: 'Its name, as bindings have it.' }),
  expires_at: nullable(Type.String({ format: 'date-time', description: expiresAt })),
  last_used_at: nullable(Type.String({ format: 'date-time', description: 'To the minute; null: not yet.' })),
  created_by: Type.String({ description: 'Who made it.' }),
  created_at: timestamp('When it was made.'),
};

export const Token = Type.Object(tokenFields, { $id: 'Token', description: 'An API token, without the token itself.' });

export const NewToken = Type.Object(
  { ...tokenFields, token: Type.String({ description: 'The token itself, shown this once.' }) },
  { $id: 'NewToken', description: 'An API token that was made just now.' },
);

export const AccessMe = Type.Object(
  {
    subject: Type.String({ description: 'As events name it.' }),
    kind: openEnum(['token', 'jwt', 'anonymous'], { description: 'How the caller is known.' }),
    groups: Type.Array(Type.String(), { description: 'That its JWT lists.' }),
    bindings: Type.Array(ref(Binding), { description: 'Its own, and those of its groups.' }),
    permissions: Type.Array(openPermission, { description: 'What may be done somewhere; bindings say where.' }),
  },
  { $id: 'AccessMe', description: 'What a caller is told of itself.' },
);

export const BindingList = pageOf(Binding, 'BindingList', 'bindings');
export const RoleList = pageOf(Role, 'RoleList', 'roles');
export const TokenList = pageOf(Token, 'TokenList', 'tokens');

export const RoleParams = Type.Object({ name: Type.String({ description: "The role's name." }) });
export const IdParams = Type.Object({ id: Type.String({ description: 'As the list has it.' }) });

export type BindingCreate = Static<typeof BindingCreate>;
export type Binding = Static<typeof Binding>;
export type BindingSubject = Static<typeof BindingSubject>;
export type Role = Static<typeof Role>;
export type RolePut = Static<typeof RolePut>;
export type Token = Static<typeof Token>;
export type NewToken = Static<typeof NewToken>;
export type TokenCreate = Static<typeof TokenCreate>;
export type BindingList = Static<typeof BindingList>;
export type RoleList = Static<typeof RoleList>;
export type TokenList = Static<typeof TokenList>;
export type AccessMe = Static<typeof AccessMe>;

export const accessSchemas = [
  ...[Permission, BindingSubject, BoundSubject, BindingCreate, Binding, BindingList, Role, RolePut, RoleList],
  ...[TokenCreate, Token, NewToken, TokenList, AccessMe],
];
