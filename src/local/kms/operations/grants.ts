/**
 * CreateGrant, ListGrants, ListRetirableGrants, RevokeGrant and RetireGrant. Source: AWS KMS API reference; developer guide,
 * "Grants in AWS KMS" and "Key states of AWS KMS keys". The words of errors are our own where AWS's are not documented.
 */
import { randomBytes } from 'node:crypto';
import { partitionOf } from '../../../domain/regions.ts';
import { inSeconds } from '../clock.ts';
import { type Context, emptyAnswer, type Operation } from '../context.ts';
import { KmsError, limitExceeded, notFound, validation } from '../errors.ts';
import { grantToken, readGrantToken, type StoredGrant } from '../grants.ts';
import { arnOf, assertEnabled, assertImported, findChangeableKey, findKey } from '../keys.ts';
import { page } from '../pages.ts';
import { optionalBoolean, optionalString, type Parameters, requiredString } from '../parameters.ts';
import type { StoredKey } from '../store.ts';
import { readGrant } from './grant-request.ts';

const mostGrants = 50_000;
const pageLimits = { standard: 50, most: 100 };

const createGrant: Operation = (context, parameters) => {
  const key = findChangeableKey(context, parameters);
  assertImported(key);
  assertEnabled(key);
  const asked = readGrant(parameters, key);
  assertNoDryRun(parameters);
  const grant = sameGrant(context, key, asked) ?? newGrant(context, key, asked);
  return { GrantId: grant.id, GrantToken: grantToken(grant) };
};

/** A grant with a name, asked for again: the request is taken for a repeated one. */
function sameGrant({ store }: Context, key: StoredKey, asked: ReturnType<typeof readGrant>): StoredGrant | undefined {
  if (asked.name === null) return undefined;
  const text = JSON.stringify(asked);
  return store.grants.ofKey(key).find(({ account, region, keyId, id, createdAt, ...rest }) => {
    return JSON.stringify(rest) === text;
  });
}

function newGrant({ store, clock }: Context, key: StoredKey, asked: ReturnType<typeof readGrant>): StoredGrant {
  if (store.grants.count(key) >= mostGrants) throw limitExceeded(`${arnOf(key)} has ${mostGrants} grants already.`);
  const { account, region, keyId } = key;
  const grant = { account, region, keyId, id: randomBytes(32).toString('hex'), createdAt: clock.now(), ...asked };
  store.grants.save(grant);
  return grant;
}

function assertNoDryRun(parameters: Parameters): void {
  if (optionalBoolean(parameters, 'DryRun') !== true) return;
  const message = 'The request would have succeeded, but the DryRun option is set.';
  throw new KmsError('DryRunOperationException', message);
}

const listGrants: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  const id = optionalString(parameters, 'GrantId', { min: 1, max: 128 });
  if (id !== undefined) assertGrantId(id);
  const { GranteePrincipal: principal, GranteeServicePrincipal: service } = parameters;
  if (principal !== undefined && service !== undefined) {
    throw validation('You can specify either GranteePrincipal or GranteeServicePrincipal, but not both.');
  }
  const isAsked = (grant: StoredGrant) =>
    (id === undefined || grant.id === id) &&
    (principal === undefined || grant.granteePrincipal === principal) &&
    (service === undefined || grant.granteeServicePrincipal === service);
  return pageOfGrants(parameters, (after) => context.store.grants.ofKey(key, after).filter(isAsked));
};

const listRetirableGrants: Operation = ({ store, caller }, parameters) => {
  const principal = requiredString(parameters, 'RetiringPrincipal', { min: 1, max: 256 });
  return pageOfGrants(parameters, (after) => store.grants.retirableBy(caller, principal, after));
};

function pageOfGrants(parameters: Parameters, fetch: (after: string) => StoredGrant[]): object {
  const { items, page: rest } = page(parameters, pageLimits, fetch, ({ id }) => id);
  return { Grants: items.map(shown), ...rest };
}

/** As lists show it; what was not given is not there. */
function shown(grant: StoredGrant): object {
  const members = {
    KeyId: arnOf(grant),
    GrantId: grant.id,
    Name: grant.name,
    CreationDate: inSeconds(grant.createdAt),
    GranteePrincipal: grant.granteePrincipal,
    GranteeServicePrincipal: grant.granteeServicePrincipal,
    RetiringPrincipal: grant.retiringPrincipal,
    RetiringServicePrincipal: grant.retiringServicePrincipal,
    IssuingAccount: `arn:${partitionOf(grant.region)}:iam::${grant.account}:root`,
    Operations: grant.operations,
    Constraints: grant.constraints,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
}

const revokeGrant: Operation = (context, parameters) => {
  const key = findKey(context, parameters);
  const id = requiredString(parameters, 'GrantId', { min: 1, max: 128 });
  endGrant(context, parameters, key, id);
  return emptyAnswer;
};

/** By a token, or by the key and the grant's id. */
const retireGrant: Operation = (context, parameters) => {
  const token = optionalString(parameters, 'GrantToken', { min: 1, max: 8192 });
  if (token !== undefined) {
    const { id, keyId } = readGrantToken(token);
    endGrant(context, parameters, findKey(context, { KeyId: keyId }), id);
    return emptyAnswer;
  }
  if (parameters['KeyId'] === undefined || parameters['GrantId'] === undefined) {
    throw validation('You must specify a GrantToken, or both KeyId and GrantId.');
  }
  return revokeGrant(context, parameters);
};

function endGrant({ store }: Context, parameters: Parameters, key: StoredKey, id: string): void {
  assertGrantId(id);
  if (store.grants.find(key, id) === undefined) throw notFound(`Grant ID ${id} not found`);
  assertNoDryRun(parameters);
  store.grants.remove(key, id);
}

function assertGrantId(id: string): void {
  if (/^[0-9a-f]{64}$/.test(id)) return;
  throw new KmsError('InvalidGrantIdException', `The grant ID ${id} is not valid.`);
}

export const grantOperations: Record<string, Operation> = {
  CreateGrant: createGrant,
  ListGrants: listGrants,
  ListRetirableGrants: listRetirableGrants,
  RevokeGrant: revokeGrant,
  RetireGrant: retireGrant,
};
