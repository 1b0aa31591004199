/** Why keys can't be imported. */
import { type ImportReasonCode, importReasons } from '../../domain/imports.ts';
import type { Violation } from '../../domain/types.ts';
import type { Services } from '../context.ts';
import { ProblemError, type ProblemKind } from '../problems.ts';

/** Why a key can't be imported, by a code too. */
export class NotImportable extends ProblemError {
  readonly reason: ImportReasonCode;

  constructor(
    reason: ImportReasonCode,
    kind: ProblemKind,
    detail: string,
    extra: { errors?: Violation[]; keyId?: string } = {},
  ) {
    super(kind, detail, extra);
    this.reason = reason;
  }

  get outcome(): (typeof importReasons)[ImportReasonCode]['outcome'] {
    return importReasons[this.reason].outcome;
  }

  /** What to say of the key, without what is said of a request. */
  get why(): string {
    return this.errors?.[0]?.detail ?? this.message;
  }
}

/** Of one whose kind or state is the reason. */
export function notImportable(reason: ImportReasonCode, detail: string): NotImportable {
  const errors = [{ pointer: '/key_id', code: 'incompatible' as const, detail }];
  return new NotImportable(reason, 'invalid-input', 'One rule is broken; nothing was changed.', { errors });
}

/** What a caller is told of a key that is not there, and of one that it may not know of. */
export function noSuchKey(keyId: string): NotImportable {
  const detail = `KMS has no key ${JSON.stringify(keyId)} that you may take into management.`;
  return new NotImportable('not_found', 'not-found', detail);
}

/** @throws NotImportable with the kind conflict */
export async function assertUnmanaged(services: Services, arn: string): Promise<void> {
  const taken = (await takenAmong(services, [arn])).get(arn);
  if (taken !== undefined) throw taken;
}

/** Those of the keys that a record has, or that will be its again or be deleted for it: why each can't be imported. */
export async function takenAmong({ database }: Services, arns: string[]): Promise<Map<string, NotImportable>> {
  const managed = await database.prisma.key.findMany({
    where: { arn: { in: arns }, state: { not: 'deleted' } },
    select: { id: true, arn: true },
  });
  // Asked in this order: a replacement that begins in between is seen here, one that is taken back by the record's ARN.
  const formers = await formersInUse(database, arns);
  return new Map([
    ...formers.map(({ arn, key_ref }) => {
      const detail = `The key ${arn} is being replaced, or is to be deleted, as a former key of ${key_ref}.`;
      return [arn, new NotImportable('former_key', 'conflict', detail, { keyId: key_ref })] as const;
    }),
    ...managed.map(({ arn, id }) => {
      const detail = `The key ${arn} is managed already, as ${id}.`;
      return [arn ?? '', new NotImportable('already_managed', 'conflict', detail, { keyId: id })] as const;
    }),
  ]);
}

/** Former keys that are to be deleted, or that come back to their record when KMS refuses the new one, lost or not. */
async function formersInUse({ prisma }: Services['database'], arns: string[]) {
  const formers = await prisma.formerKey.findMany({ where: { arn: { in: arns } } });
  if (formers.length === 0) return [];
  const replaced = await prisma.key.findMany({
    where: { id: { in: formers.map(({ key_ref }) => key_ref) }, replacement: 'begun' },
    select: { id: true, synced_generation: true },
  });
  const mayReturn = ({ key_ref, generation }: (typeof formers)[number]) =>
    replaced.some(({ id, synced_generation }) => id === key_ref && generation > synced_generation);
  return formers.filter((former) => former.deletion === 'waiting' || mayReturn(former));
}
