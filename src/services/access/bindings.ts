/** What is given to whom: roles of one's own, and bindings. Nobody gives more than they have themselves. */
import { v7 as uuidv7 } from 'uuid';
import { type AccessBinding, type Database, Prisma, type Transaction } from '../../database/client.ts';
import { announceAccessChange } from '../../database/notifications.ts';
import type { Rights } from '../../domain/access.ts';
import { changedFields } from '../../domain/changes.ts';
import { builtInRoles, type Permission } from '../../domain/permissions.ts';
import { unstorableText } from '../../domain/text.ts';
import { isUuid } from '../../domain/uuid.ts';
import type { Binding, BindingCreate, BindingList, BindingSubject, Role, RoleList } from '../../schemas/access.ts';
import type { PageQuery } from '../../schemas/history.ts';
import { anyName, pageAfter, uuidForm } from '../cursors.ts';
import { type Doer, recordEvent } from '../history/log.ts';
import { conflict, invalidInput, ProblemError } from '../problems.ts';
import { keepingAnAdmin, type WaysIn } from './last-admin.ts';

type Stored = { database: Database };
type Guarded = Stored & { callers: WaysIn };

/** Who asks, and what they may do. */
export type Asker = Doer & { rights: Rights };

/** The permissions of a role; null: there is none of that name. */
async function permissionsOf(transaction: Transaction, role: string): Promise<readonly Permission[] | null> {
  if (isBuiltIn(role)) return builtInRoles[role] ?? null;
  const own = await transaction.accessRole.findUnique({ where: { name: role } });
  return own === null ? null : (own.permissions as Permission[]);
}

/** @throws ProblemError invalid-input when there is no such role, forbidden when it gives more than the caller has. */
export async function assertMayGive(transaction: Transaction, role: string, by: Asker, pointer: string): Promise<void> {
  const given = await permissionsOf(transaction, role);
  if (given === null)
    throw invalidInput([{ pointer, code: 'not_found', detail: `There is no role ${JSON.stringify(role)}.` }]);
  assertHas(by, given);
}

function assertHas({ rights }: Asker, permissions: readonly Permission[]): void {
  const lacking = permissions.filter((permission) => !rights.access.hasEverywhere(permission));
  if (lacking.length === 0) return;
  throw new ProblemError('forbidden', `Nobody gives more than they have everywhere: ${lacking.join(', ')}.`);
}

/** Records a binding whose role is known to be there. */
export async function giveRole(transaction: Transaction, wanted: BindingCreate, by: Doer): Promise<AccessBinding> {
  const { role, subject, providers, tags } = wanted;
  const [kind, name] = subjectOf(subject);
  const row = await transaction.accessBinding.create({
    data: {
      id: uuidv7(),
      role,
      subject_kind: kind,
      subject: name,
      issuer: subject.issuer ?? null,
      providers: providers ?? Prisma.DbNull,
      tags: tags ?? Prisma.DbNull,
      created_by: by.actor,
    },
  });
  await recordEvent(transaction, { type: 'binding.created', data: { binding: toBinding(row) } }, by);
  await announceAccessChange(transaction);
  return row;
}

/** Takes all that was given to a token. */
export async function takeFrom(transaction: Transaction, token: string, by: Doer): Promise<void> {
  const rows = await transaction.accessBinding.findMany({ where: { subject_kind: 'token', subject: token } });
  for (const row of rows) await removeBinding(transaction, row, by);
}

async function removeBinding(transaction: Transaction, row: AccessBinding, by: Doer): Promise<void> {
  await transaction.accessBinding.deleteMany({ where: { id: row.id } });
  await recordEvent(transaction, { type: 'binding.deleted', data: { binding: toBinding(row) } }, by);
  await announceAccessChange(transaction);
}

/**
 * Gives a role to somebody.
 * @param issuers those whose word is taken: one that is not named is the only one, where there is one only.
 * @throws ProblemError invalid-input, forbidden.
 */
export async function createBinding(
  { database }: Stored,
  wanted: BindingCreate,
  by: Asker,
  issuers: readonly string[],
): Promise<Binding> {
  const subject = checkedSubject(wanted.subject, issuers);
  const unstorable = [wanted.providers ?? [], Object.entries(wanted.tags ?? {}), Object.values(subject)].flat(2);
  if (unstorable.some((text) => typeof text === 'string' && unstorableText(text))) {
    throw invalidInput([
      { pointer: '', code: 'invalid_text', detail: 'A value has a character in it that is not text.' },
    ]);
  }
  const row = await database.prisma.$transaction(async (transaction) => {
    await assertMayGive(transaction, wanted.role, by, '/role');
    if (subject.token !== undefined) await assertTokenIsThere(transaction, subject.token);
    return giveRole(transaction, { ...wanted, subject }, by);
  });
  return toBinding(row);
}

function checkedSubject(subject: BindingSubject, issuers: readonly string[]): BindingSubject {
  const pointer = '/subject';
  const named = [subject.token, subject.user, subject.group].filter((name) => name !== undefined);
  if (named.length !== 1)
    throw invalidInput([{ pointer, code: 'invalid_value', detail: 'Name one of token, user and group.' }]);
  const issuer = subject.issuer ?? null;
  if (subject.token !== undefined) {
    if (issuer !== null)
      throw invalidInput([{ pointer: '/subject/issuer', code: 'incompatible', detail: 'A token has no issuer.' }]);
    return { token: subject.token };
  }
  if (issuer !== null && !issuers.includes(issuer)) {
    throw invalidInput([{ pointer: '/subject/issuer', code: 'invalid_value', detail: 'It is none of JWT_ISSUERS.' }]);
  }
  if (issuer === null && issuers.length > 1) {
    const detail = 'There are several issuers, and each names people as it likes: say which one vouches for this name.';
    throw invalidInput([{ pointer: '/subject/issuer', code: 'required', detail }]);
  }
  return { ...subject, issuer: issuer ?? issuers[0] ?? null };
}

/** Else whoever may make tokens could take what was given to one that is yet to be made. */
async function assertTokenIsThere(transaction: Transaction, name: string): Promise<void> {
  const [found] = await transaction.$queryRaw<object[]>`SELECT 1 FROM api_tokens WHERE name = ${name} FOR SHARE`;
  if (found !== undefined) return;
  throw invalidInput([
    { pointer: '/subject/token', code: 'not_found', detail: `There is no token ${JSON.stringify(name)}.` },
  ]);
}

/** One page of them, oldest first. @throws ProblemError malformed-request for a cursor that no page gave. */
export function pageOfBindings({ database }: Stored, query: PageQuery): Promise<BindingList> {
  const { prisma } = database;
  return pageAfter(
    { list: 'bindings', form: uuidForm, placeOf: ({ id }: Binding) => id },
    query,
    async (after, take) => {
      const where = after === null ? {} : { id: { gt: after } };
      return (await prisma.accessBinding.findMany({ where, orderBy: { id: 'asc' }, take })).map(toBinding);
    },
  );
}

/** @throws ProblemError not-found; conflict for what makes the last admin one. */
export async function deleteBinding({ database, callers }: Guarded, id: string, by: Doer): Promise<void> {
  await database.prisma.$transaction(async (transaction) => {
    const row = isUuid(id) ? await transaction.accessBinding.findUnique({ where: { id } }) : null;
    if (row === null) throw new ProblemError('not-found', `There is no binding with the id ${JSON.stringify(id)}.`);
    await keepingAnAdmin(transaction, callers, () => removeBinding(transaction, row, by));
  });
}

/** One page of those that are built in and one's own, by name. @throws ProblemError malformed-request */
export function pageOfRoles({ database }: Stored, query: PageQuery): Promise<RoleList> {
  const { prisma } = database;
  return pageAfter({ list: 'roles', form: anyName, placeOf: ({ name }: Role) => name }, query, async (after, take) => {
    const own = await prisma.accessRole.findMany();
    const builtIn = Object.entries(builtInRoles).map(([name, permissions]) => ({ name, permissions }));
    return [...builtIn, ...own]
      .filter(({ name }) => after === null || name > after)
      .sort((first, second) => (first.name < second.name ? -1 : 1))
      .slice(0, take)
      .map(({ name, permissions }) => ({
        name,
        permissions: [...(permissions as Permission[])],
        built_in: isBuiltIn(name),
      }));
  });
}

function isBuiltIn(name: string): boolean {
  return Object.hasOwn(builtInRoles, name);
}

/**
 * Makes a role, or changes what it gives to all who have it.
 * @returns whether it is new.
 * @throws ProblemError invalid-input for a name that no role can have, conflict for a built-in role and for what makes the last
 * admin one, forbidden.
 */
export async function putRole(
  { database, callers }: Guarded,
  { name, permissions }: { name: string; permissions: Permission[] },
  by: Asker,
): Promise<{ role: Role; isNew: boolean }> {
  assertOwn(name);
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(name)) {
    throw invalidInput([
      { pointer: '/name', code: 'invalid_format', detail: 'Small letters, digits and -, at most 63, a letter first.' },
    ]);
  }
  assertHas(by, permissions);
  const wanted = [...new Set(permissions)];
  const isNew = await database.prisma.$transaction(async (transaction) => {
    const before = await transaction.accessRole.findUnique({ where: { name } });
    const columns = { permissions: wanted, updated_at: new Date() };
    await keepingAnAdmin(transaction, callers, () =>
      transaction.accessRole.upsert({ where: { name }, create: { name, ...columns }, update: columns }),
    );
    const was = before === null ? null : { permissions: before.permissions };
    const changes = changedFields(was, { permissions: wanted });
    await recordEvent(transaction, { type: 'role.changed', data: { name, changes } }, by);
    await announceAccessChange(transaction);
    return before === null;
  });
  return { role: { name, permissions: wanted, built_in: false }, isNew };
}

/** @throws ProblemError not-found, conflict for one that is built in or given to somebody. */
export async function deleteRole({ database }: Stored, name: string, by: Doer): Promise<void> {
  assertOwn(name);
  await database.prisma.$transaction(async (transaction) => {
    const role = unstorableText(name) ? null : await transaction.accessRole.findUnique({ where: { name } });
    if (role === null) throw new ProblemError('not-found', `There is no role ${JSON.stringify(name)}.`);
    const bindings = await transaction.accessBinding.count({ where: { role: name } });
    if (bindings > 0) throw conflict(`The role ${name} is given by ${bindings} bindings: delete them first.`);
    await transaction.accessRole.deleteMany({ where: { name } });
    const changes = changedFields({ permissions: role.permissions }, {});
    await recordEvent(transaction, { type: 'role.deleted', data: { name, changes } }, by);
    await announceAccessChange(transaction);
  });
}

function assertOwn(name: string): void {
  if (isBuiltIn(name)) throw conflict(`The role ${name} is built in: make one of your own.`);
}

function subjectOf({ token, user, group }: BindingSubject): [kind: string, name: string] {
  if (token !== undefined) return ['token', token];
  return user !== undefined ? ['user', user] : ['group', group ?? ''];
}

/** A binding as the HTTP contract shows it. */
export function toBinding(
  row: Pick<AccessBinding, 'id' | 'role' | 'subject_kind' | 'subject' | 'issuer'> & {
    providers: unknown;
    tags: unknown;
  },
): Binding {
  const { id, role, subject_kind: kind, subject, issuer } = row;
  return {
    id,
    role,
    subject: { [kind]: subject, ...(issuer === null ? {} : { issuer }) },
    providers: row.providers as Binding['providers'],
    tags: row.tags as Binding['tags'],
  };
}
