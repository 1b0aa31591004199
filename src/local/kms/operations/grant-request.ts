/** What CreateGrant is asked for, checked. Source: AWS KMS API reference, CreateGrant and GrantConstraints. */
import type { KeyUsage } from '../../../domain/key-specs.ts';
import { constraint, KmsError, validation } from '../errors.ts';
import { readGrantToken, type StoredGrant } from '../grants.ts';
import { arnOf } from '../keys.ts';
import { optionalString, type Parameters, requiredList } from '../parameters.ts';
import { isKnownPrincipal } from '../policy.ts';
import type { StoredKey } from '../store.ts';

const ofAnyKey = ['CreateGrant', 'RetireGrant', 'DescribeKey'];

/** What a grant can permit for keys of a usage; asymmetric ones have more. */
const operationsByUsage: Record<KeyUsage, string[]> = {
  ENCRYPT_DECRYPT: ['Encrypt', 'Decrypt', 'ReEncryptFrom', 'ReEncryptTo'],
  SIGN_VERIFY: ['Sign', 'Verify'],
  GENERATE_VERIFY_MAC: ['GenerateMac', 'VerifyMac'],
  KEY_AGREEMENT: ['DeriveSharedSecret'],
  ENCAPSULATE_DECAPSULATE: ['Encapsulate', 'Decapsulate'],
};
const dataKeyOperations = [
  'GenerateDataKey',
  'GenerateDataKeyWithoutPlaintext',
  'GenerateDataKeyPair',
  'GenerateDataKeyPairWithoutPlaintext',
];
const allOperations = [...ofAnyKey, ...Object.values(operationsByUsage).flat(), ...dataKeyOperations, 'GetPublicKey'];

type Asked = Omit<StoredGrant, 'account' | 'region' | 'keyId' | 'id' | 'createdAt'>;

/** @throws KmsError ValidationException, InvalidArnException, InvalidGrantTokenException */
export function readGrant(parameters: Parameters, key: StoredKey): Asked {
  assertGrantTokens(parameters);
  const principals = readPrincipals(parameters, key);
  const constraints = readConstraints(parameters, key);
  if (principals.granteeServicePrincipal !== null) assertCompleteForService(principals, constraints);
  return {
    name: patterned(parameters, 'Name', 256, '^[a-zA-Z0-9:/_-]+$'),
    ...principals,
    operations: readOperations(parameters, key),
    constraints,
  };
}

/** Tokens name grants that may not be known everywhere yet, which here they are. */
export function assertGrantTokens(parameters: Parameters): void {
  const tokens = parameters['GrantTokens'] ?? [];
  if (!Array.isArray(tokens)) throw new KmsError('SerializationException', 'GrantTokens must be a list');
  if (tokens.length > 10) throw constraint(tokens, 'grantTokens', 'have length less than or equal to 10');
  for (const token of tokens) readGrantToken(String(token));
}

type Principals = Pick<
  Asked,
  'granteePrincipal' | 'granteeServicePrincipal' | 'retiringPrincipal' | 'retiringServicePrincipal'
>;

function readPrincipals(parameters: Parameters, { region }: StoredKey): Principals {
  const principals = {
    granteePrincipal: principal(parameters, 'GranteePrincipal', region),
    granteeServicePrincipal: service(parameters, 'GranteeServicePrincipal'),
    retiringPrincipal: principal(parameters, 'RetiringPrincipal', region),
    retiringServicePrincipal: service(parameters, 'RetiringServicePrincipal'),
  };
  const { granteePrincipal, granteeServicePrincipal, retiringPrincipal, retiringServicePrincipal } = principals;
  if ((granteePrincipal === null) === (granteeServicePrincipal === null)) {
    throw validation('You must specify either GranteePrincipal or GranteeServicePrincipal, but not both.');
  }
  if (retiringPrincipal !== null && retiringServicePrincipal !== null) {
    throw validation('You can specify either RetiringPrincipal or RetiringServicePrincipal, but not both.');
  }
  return principals;
}

function principal(parameters: Parameters, member: string, region: string): string | null {
  const arn = patterned(parameters, member, 256, '^[\\w+=,.@:/-]+$');
  if (arn === null || (arn.startsWith('arn:') && isKnownPrincipal(arn, region))) return arn;
  throw new KmsError('InvalidArnException', `${arn} is not the ARN of a principal.`);
}

function service(parameters: Parameters, member: string): string | null {
  return patterned(parameters, member, 128, '^([A-Za-z0-9\\-]+)\\.([A-Za-z0-9\\-]+)(\\.[A-Za-z0-9\\-]+)+$');
}

function patterned(parameters: Parameters, member: string, max: number, pattern: string): string | null {
  const value = optionalString(parameters, member, { min: 1, max });
  if (value === undefined || new RegExp(pattern).test(value)) return value ?? null;
  const spelled = member.charAt(0).toLowerCase() + member.slice(1);
  throw constraint(value, spelled, `satisfy regular expression pattern: ${pattern}`);
}

function assertCompleteForService(principals: Principals, constraints: object | null): void {
  if ((constraints as Record<string, unknown> | null)?.['SourceArn'] === undefined) {
    throw validation('You must specify a SourceArn grant constraint with a GranteeServicePrincipal.');
  }
  if (principals.retiringPrincipal ?? principals.retiringServicePrincipal) return;
  throw validation(
    'You must specify a RetiringPrincipal or a RetiringServicePrincipal with a GranteeServicePrincipal.',
  );
}

function readOperations(parameters: Parameters, key: StoredKey): string[] {
  const given = requiredList(parameters, 'Operations').map(String);
  const unknown = given.find((operation) => !allOperations.includes(operation));
  if (unknown !== undefined) {
    throw constraint(unknown, 'operations', `satisfy enum value set: [${allOperations.join(', ')}]`);
  }
  const isSymmetric = key.spec === 'SYMMETRIC_DEFAULT';
  const supported = [...ofAnyKey, ...operationsByUsage[key.usage]];
  if (isSymmetric) supported.push(...dataKeyOperations);
  if (!isSymmetric && key.usage !== 'GENERATE_VERIFY_MAC') supported.push('GetPublicKey');
  const unsupported = given.find((operation) => !supported.includes(operation));
  if (unsupported === undefined) return given;
  throw validation(`The grant operation ${unsupported} is not supported on ${arnOf(key)}.`);
}

function readConstraints({ Constraints: given }: Parameters, key: StoredKey): object | null {
  if (given === undefined || given === null) return null;
  if (typeof given !== 'object') throw new KmsError('SerializationException', 'Constraints must be an object');
  const { EncryptionContextEquals, EncryptionContextSubset, SourceArn } = given as Record<string, unknown>;
  for (const pairs of [EncryptionContextEquals, EncryptionContextSubset]) {
    if (pairs !== undefined && pairs !== null) checkPairs(pairs, key);
  }
  const pattern = '^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$';
  patterned({ SourceArn }, 'SourceArn', 512, pattern);
  return given;
}

function checkPairs(pairs: unknown, key: StoredKey): void {
  if (typeof pairs !== 'object') throw new KmsError('SerializationException', 'An encryption context is an object');
  if (key.spec !== 'SYMMETRIC_DEFAULT') {
    throw validation('Encryption context constraints are only for grants of symmetric encryption KMS keys.');
  }
  const values = Object.values(pairs ?? {});
  if (values.length > 8) throw validation('A grant constraint can include up to 8 encryption context pairs.');
  if (values.some((value) => typeof value !== 'string' || value.length > 384)) {
    throw validation('The encryption context value of a grant constraint cannot exceed 384 characters.');
  }
}
