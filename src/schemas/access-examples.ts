/** The examples of the OpenAPI document for who may do what. */
import type { AccessMe, Binding, BindingCreate, NewToken, Role, RolePut, Token, TokenCreate } from './access.ts';

const id = '01980e6c-9d10-7b52-8a31-5c2f40e1b7d6';
const rolePut: RolePut = { permissions: ['keys:read', 'keys:update'] };
const bindingCreate: BindingCreate = {
  role: 'operator',
  subject: { group: 'payments' },
  providers: null,
  tags: { team: 'payments' },
};
const tokenCreate: TokenCreate = { name: 'portal', expires_at: '2027-07-01T00:00:00.000Z', role: 'viewer' };

export const accessBodies = { RolePut: rolePut, BindingCreate: bindingCreate, TokenCreate: tokenCreate };

const role: Role = { name: 'tagger', permissions: ['keys:read', 'keys:update'], built_in: false };
const binding: Binding = {
  id,
  role: 'operator',
  subject: { group: 'payments' },
  providers: null,
  tags: { team: 'payments' },
};
const token: Token = {
  id,
  name: 'portal',
  expires_at: '2027-07-01T00:00:00.000Z',
  last_used_at: null,
  created_by: 'anonymous',
  created_at: '2026-07-01T09:30:00.000Z',
};
const newToken: NewToken = { ...token, token: 'kwd_…' };
const me: AccessMe = {
  subject: 'token:portal',
  kind: 'token',
  groups: [],
  bindings: [binding],
  permissions: ['keys:read', 'keys:update'],
};
const all = (item: unknown) => ({ items: [item], next_cursor: null });

export const accessAnswers = {
  Role: role,
  RoleList: all(role),
  Binding: binding,
  BindingList: all(binding),
  TokenList: all(token),
  NewToken: newToken,
  AccessMe: me,
};
