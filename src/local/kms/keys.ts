/** Finds the key that a request names, and tells what its state allows. */
import { partitionOf } from '../../domain/regions.ts';
import type { Context } from './context.ts';
import { invalidState, KmsError, notFound } from './errors.ts';
import { type Parameters, requiredString } from './parameters.ts';
import type { Place, StoredKey } from './store.ts';

const keyId = /^(mrk-[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/;
const arnPattern = /^arn:(aws[a-z-]*):kms:([a-z0-9-]+):(\d{12}):(key|alias)\/(.+)$/;

export function keyArn({ account, region }: Place, id: string): string {
  return `arn:${partitionOf(region)}:kms:${region}:${account}:key/${id}`;
}

export function aliasArn({ account, region }: Place, name: string): string {
  return `arn:${partitionOf(region)}:kms:${region}:${account}:${name}`;
}

export function arnOf(key: Place & { keyId: string }): string {
  return keyArn(key, key.keyId);
}

/**
 * The key that `KeyId` (or another member) names.
 * @param aliases whether the operation takes alias names and alias ARNs too; most don't.
 * @throws KmsError NotFoundException
 */
export function findKey(
  context: Context,
  parameters: Parameters,
  { aliases = false, member = 'KeyId' } = {},
): StoredKey {
  return findNamedKey(context, requiredString(parameters, member, { min: 1, max: 2048 }), aliases);
}

export function findNamedKey({ store, caller }: Context, given: string, aliases: boolean): StoredKey {
  const arn = arnPattern.exec(given);
  if (given.startsWith('arn:')) {
    if (arn === null) throw notFound(`Invalid arn ${given}`);
    const [, partition, region = '', account, kind] = arn;
    if (region !== caller.region || partition !== partitionOf(region)) throw notFound(`Invalid arn ${region}`);
    if (account !== caller.account) throw new KmsError('AccessDeniedException', accessDenied(caller.arn, given));
    if (kind === 'alias' && !aliases) throw notFound(`Invalid keyId '${given}'`);
  }
  const name = arn === null ? given : `${arn[4] === 'alias' ? 'alias/' : ''}${arn[5]}`;
  if (aliases && name.startsWith('alias/')) return findByAlias(store, caller, name);
  if (!keyId.test(name)) throw notFound(`Invalid keyId '${given}'`);
  const key = store.findKey(caller, name);
  if (key === undefined) throw notFound(`Key '${keyArn(caller, name)}' does not exist`);
  return key;
}

/** The ARN that a key of the caller's place has, or would have; undefined: no key can be of that name. */
export function arnNamed({ caller }: Pick<Context, 'caller'>, given: string): string | undefined {
  const id = given.startsWith(keyArn(caller, '')) ? given.slice(keyArn(caller, '').length) : given;
  return keyId.test(id) ? keyArn(caller, id) : undefined;
}

function findByAlias(store: Context['store'], place: Place, name: string): StoredKey {
  const alias = store.findAlias(place, name);
  const key = alias === undefined ? undefined : store.findKey(place, alias.keyId);
  if (key === undefined) throw notFound(`Alias ${aliasArn(place, name)} is not found.`);
  return key;
}

function accessDenied(caller: string, resource: string): string {
  return `User: ${caller} is not authorized to perform this operation on resource: ${resource} because no resource-based policy allows it`;
}

/** A key that the caller may change. @throws KmsError for AWS's own keys, and for keys pending deletion. */
export function findChangeableKey(context: Context, parameters: Parameters): StoredKey {
  const key = findKey(context, parameters);
  assertCustomerManaged(context, key);
  assertNotPendingDeletion(key);
  return key;
}

export function assertCustomerManaged({ caller }: Context, key: StoredKey): void {
  if (key.manager === 'AWS') throw new KmsError('AccessDeniedException', accessDenied(caller.arn, arnOf(key)));
}

export function assertNotPendingDeletion(key: StoredKey): void {
  if (isPendingDeletion(key)) throw invalidState(`${arnOf(key)} is pending deletion.`);
}

export function isPendingDeletion(key: StoredKey): boolean {
  return key.deletionAt !== null || key.windowAfterReplicas !== null;
}

/** @throws KmsError DisabledException */
export function assertEnabled(key: StoredKey): void {
  if (!key.enabled) throw new KmsError('DisabledException', `${arnOf(key)} is disabled.`);
}

/** @throws KmsError KMSInvalidStateException for a key that waits for key material */
export function assertImported(key: StoredKey): void {
  if (key.origin === 'EXTERNAL') throw invalidState(`${arnOf(key)} is pending import.`);
}
