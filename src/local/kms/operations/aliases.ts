/** CreateAlias, UpdateAlias, DeleteAlias and ListAliases. */
import { inSeconds } from '../clock.ts';
import { type Context, emptyAnswer, type Operation } from '../context.ts';
import { constraint, KmsError, limitExceeded, notFound, validation } from '../errors.ts';
import { aliasArn, arnOf, assertCustomerManaged, assertNotPendingDeletion, findKey } from '../keys.ts';
import { page } from '../pages.ts';
import { type Parameters, requiredString } from '../parameters.ts';
import type { StoredKey } from '../store.ts';

const mostAliases = 50;
/** Source: KMS API reference, CreateAlias. */
const pattern = '^[a-zA-Z0-9:/_-]+$';
const guide = 'https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html';

function aliasName(parameters: Parameters): string {
  const name = requiredString(parameters, 'AliasName', { min: 1, max: 256 });
  if (!name.startsWith('alias/')) throw validation(`Alias must start with the prefix "alias/". Please see ${guide}`);
  if (!new RegExp(pattern).test(name)) {
    throw constraint(name, 'aliasName', `satisfy regular expression pattern: ${pattern}`);
  }
  // The words are our own, as AWS's are not documented.
  if (name === 'alias/') throw new KmsError('InvalidAliasNameException', `${name} is not a valid alias name.`);
  return name;
}

/** A name that a customer may give. */
function customerAliasName(parameters: Parameters): string {
  const name = aliasName(parameters);
  if (name.startsWith('alias/aws/')) throw new KmsError('NotAuthorizedException', '');
  return name;
}

function targetKey(context: Context, parameters: Parameters): StoredKey {
  if (/^(arn:[^/]+:)?alias\//.test(String(parameters['TargetKeyId']))) {
    throw validation('Aliases must refer to keys. Not aliases');
  }
  const key = findKey(context, parameters, { member: 'TargetKeyId' });
  assertCustomerManaged(context, key);
  assertNotPendingDeletion(key);
  return key;
}

const createAlias: Operation = (context, parameters) => {
  const { store, caller, clock } = context;
  const name = customerAliasName(parameters);
  const key = targetKey(context, parameters);
  if (store.findAlias(caller, name) !== undefined) {
    throw new KmsError('AlreadyExistsException', `An alias with the name ${aliasArn(caller, name)} already exists`);
  }
  assertRoomForAlias(context, key);
  const now = clock.now();
  const { account, region } = caller;
  store.saveAlias({ account, region, name, keyId: key.keyId, createdAt: now, updatedAt: now });
  return emptyAnswer;
};

const updateAlias: Operation = (context, parameters) => {
  const { store, caller, clock } = context;
  const name = customerAliasName(parameters);
  const key = targetKey(context, parameters);
  const alias = store.findAlias(caller, name);
  if (alias === undefined) throw notFound(`Alias ${aliasArn(caller, name)} is not found.`);
  const current = store.findKey(caller, alias.keyId);
  if (current !== undefined && (current.usage !== key.usage || typeOf(current) !== typeOf(key))) {
    throw validation(`Alias ${name} cannot be changed to a KMS key of another type or usage`);
  }
  if (alias.keyId !== key.keyId) assertRoomForAlias(context, key);
  store.saveAlias({ ...alias, keyId: key.keyId, updatedAt: clock.now() });
  return emptyAnswer;
};

/** "The same type (both symmetric or both asymmetric or both HMAC)": KMS API reference, UpdateAlias. */
function typeOf({ spec }: StoredKey): string {
  if (spec === 'SYMMETRIC_DEFAULT') return 'symmetric';
  return spec.startsWith('HMAC_') ? 'HMAC' : 'asymmetric';
}

function assertRoomForAlias({ store, caller }: Context, key: StoredKey): void {
  if (store.listAliases(caller, key.keyId, '', mostAliases).length >= mostAliases) {
    throw limitExceeded(`${arnOf(key)} has ${mostAliases} aliases already.`);
  }
}

const deleteAlias: Operation = ({ store, caller }, parameters) => {
  const name = customerAliasName(parameters);
  if (store.findAlias(caller, name) === undefined) throw notFound(`Alias ${aliasArn(caller, name)} is not found.`);
  store.removeAlias(caller, name);
  return emptyAnswer;
};

const listAliases: Operation = (context, parameters) => {
  const { store, caller } = context;
  const keyId = parameters['KeyId'] === undefined ? null : findKey(context, parameters).keyId;
  const { items, page: rest } = page(
    parameters,
    { standard: 50, most: 100 },
    (after, limit) => store.listAliases(caller, keyId, after, limit),
    ({ name }) => name,
  );
  return {
    Aliases: items.map((alias) => ({
      AliasName: alias.name,
      AliasArn: aliasArn(alias, alias.name),
      TargetKeyId: alias.keyId,
      CreationDate: inSeconds(alias.createdAt),
      LastUpdatedDate: inSeconds(alias.updatedAt),
    })),
    ...rest,
  };
};

export const aliasOperations: Record<string, Operation> = {
  CreateAlias: createAlias,
  UpdateAlias: updateAlias,
  DeleteAlias: deleteAlias,
  ListAliases: listAliases,
};
