import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as sdk from '@aws-sdk/client-kms';
import { test } from 'tap';
import { type KeySpec, keySpecs, usagesBySpec } from '../../src/domain/key-specs.ts';
import { account, refuses, startKms } from '../support/local-kms.ts';
import { caller } from '../support/service.ts';

const {
  CreateAliasCommand,
  CreateCustomKeyStoreCommand,
  ConnectCustomKeyStoreCommand,
  DisableKeyCommand,
  EncryptCommand,
  GenerateRandomCommand,
  GetKeyLastUsageCommand,
  GetPublicKeyCommand,
  ReplicateKeyCommand,
  ScheduleKeyDeletionCommand,
} = sdk;

/** What KMS does with key material. */
const withKeyMaterial = [
  ['Encrypt', 'Decrypt', 'ReEncrypt', 'Sign', 'Verify', 'GenerateMac', 'VerifyMac', 'DeriveSharedSecret'],
  ['GenerateDataKey', 'GenerateDataKeyWithoutPlaintext', 'GenerateDataKeyPair', 'GenerateDataKeyPairWithoutPlaintext'],
  ['Encapsulate', 'Decapsulate', 'GetParametersForImport', 'ImportKeyMaterial', 'DeleteImportedKeyMaterial'],
].flat();

/** A request as the protocol has it, without the SDK's own checks. */
async function ask(url: string, operation: string, body: object = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `TrentService.${operation}`,
      authorization: `AWS4-HMAC-SHA256 Credential=${account}/20300101/us-east-1/kms/aws4_request`,
    },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as { __type?: string; message?: string } };
}

test('every operation of the SDK is known: it is carried out, or says that there is no key material', async (t) => {
  const { url, create, kms } = await startKms(t);
  const operations = Object.keys(sdk).flatMap((name) => /^([A-Z]\w+)Command$/.exec(name)?.[1] ?? []);
  t.ok(operations.length >= 56, `${operations.length} operations`);
  const lacking: string[] = [];
  for (const operation of operations) {
    const { status, body } = await ask(url, operation);
    t.not(body.__type, 'UnknownOperationException', operation);
    if (!body.message?.includes('no key material')) continue;
    lacking.push(operation);
    t.match(body, { __type: 'UnsupportedOperationException' });
    t.equal(status, 400, 'which no SDK tries again');
    t.equal(
      body.message,
      `The local KMS has no key material, and does not do ${operation}; docs/local-kms.md, "Cryptography", names emulators that do it.`,
    );
  }
  t.same(lacking.sort(), [...withKeyMaterial].sort());
  t.match(await ask(url, 'Encript'), { status: 400, body: { __type: 'UnknownOperationException' } }, 'a typo is one');

  t.test('the page that it names is there, with that heading', async (t) => {
    const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/local-kms.md'), 'utf8');
    t.match(page, /^## Cryptography$/m);
  });

  t.test('such a call is in the call log, as any other', async (t) => {
    const { KeyId } = await create();
    const call = kms.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
    await refuses(t, call, 'UnsupportedOperationException', /no key material/);
    const { body } = await caller(url)<{ calls: object[] }>('GET', '/_local/calls');
    t.match(body.calls.at(-1), { operation: 'Encrypt', key_id: KeyId, error: 'UnsupportedOperationException' });
  });
});

/** What the DER of each spec's public key says of itself. Source: AWS KMS developer guide, "Key spec reference". */
const details: Record<string, [type: string | undefined, details: object]> = {
  RSA_2048: ['rsa', { modulusLength: 2048, publicExponent: 65537n }],
  RSA_3072: ['rsa', { modulusLength: 3072, publicExponent: 65537n }],
  RSA_4096: ['rsa', { modulusLength: 4096, publicExponent: 65537n }],
  ECC_NIST_P256: ['ec', { namedCurve: 'prime256v1' }],
  ECC_NIST_P384: ['ec', { namedCurve: 'secp384r1' }],
  ECC_NIST_P521: ['ec', { namedCurve: 'secp521r1' }],
  ECC_SECG_P256K1: ['ec', { namedCurve: 'secp256k1' }],
  ECC_NIST_EDWARDS25519: ['ed25519', {}],
  // Node can make the key, and has no name for it.
  SM2: [undefined, {}],
  ML_DSA_44: ['ml-dsa-44', {}],
  ML_DSA_65: ['ml-dsa-65', {}],
  ML_DSA_87: ['ml-dsa-87', {}],
  ML_KEM_512: ['ml-kem-512', {}],
  ML_KEM_768: ['ml-kem-768', {}],
  ML_KEM_1024: ['ml-kem-1024', {}],
};

/** 1.2.156.10197.1.301, as DER has it. */
const oidOfSm2 = '06082a811ccf5501822d';

function readDer(der: Uint8Array | undefined) {
  return createPublicKey({ key: Buffer.from(der ?? []), format: 'der', type: 'spki' });
}

test('GetPublicKey', async (t) => {
  const { kms, create, client } = await startKms(t);
  const isSymmetric = (spec: KeySpec) => spec === 'SYMMETRIC_DEFAULT' || spec.startsWith('HMAC_');

  t.test('a real public key of the spec, the same each time', async (t) => {
    for (const spec of keySpecs.filter((candidate) => !isSymmetric(candidate))) {
      const [KeyUsage = 'SIGN_VERIFY'] = usagesBySpec[spec];
      const { KeyId, Arn } = await create({ KeySpec: spec, KeyUsage });
      const { PublicKey, ...answer } = await kms.send(new GetPublicKeyCommand({ KeyId }));
      t.match(answer, { KeyId: Arn, KeySpec: spec, CustomerMasterKeySpec: spec, KeyUsage });
      t.ok(Object.keys(answer).some((member) => member.endsWith('Algorithms')));
      const { asymmetricKeyType, asymmetricKeyDetails } = readDer(PublicKey);
      t.strictSame([asymmetricKeyType, { ...asymmetricKeyDetails }], details[spec], spec);
      if (spec === 'SM2') t.match(Buffer.from(PublicKey ?? []).toString('hex'), oidOfSm2);
      t.same((await kms.send(new GetPublicKeyCommand({ KeyId: Arn }))).PublicKey, PublicKey);
    }
  });

  t.test('each key has its own, and a replica that of its primary', async (t) => {
    const input = { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY', MultiRegion: true } as const;
    const [key, other] = [await create(input), await create(input)];
    const { PublicKey } = await kms.send(new GetPublicKeyCommand({ KeyId: key.KeyId }));
    t.notSame((await kms.send(new GetPublicKeyCommand({ KeyId: other.KeyId }))).PublicKey, PublicKey);
    await kms.send(new ReplicateKeyCommand({ KeyId: key.KeyId, ReplicaRegion: 'eu-west-1' }));
    const inEurope = client(account, 'eu-west-1');
    t.same((await inEurope.send(new GetPublicKeyCommand({ KeyId: key.KeyId }))).PublicKey, PublicKey);
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/signs', TargetKeyId: key.KeyId }));
    t.same((await kms.send(new GetPublicKeyCommand({ KeyId: 'alias/signs' }))).PublicKey, PublicKey);
  });

  t.test('refusals', async (t) => {
    const ask = (KeyId: string, more: object = {}) => kms.send(new GetPublicKeyCommand({ KeyId, ...more }));
    for (const input of [{}, { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }] as const) {
      await refuses(t, ask((await create(input)).KeyId), 'UnsupportedOperationException');
    }
    const spec = { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' } as const;
    const { KeyId, Arn } = await create(spec);
    await refuses(t, ask(KeyId, { GrantTokens: ['nonsense'] }), 'InvalidGrantTokenException');
    await kms.send(new DisableKeyCommand({ KeyId }));
    await refuses(t, ask(KeyId), 'DisabledException', `${Arn} is disabled.`);
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId }));
    await refuses(t, ask(KeyId), 'KMSInvalidStateException', `${Arn} is pending deletion.`);
    const empty = await create({ ...spec, Origin: 'EXTERNAL' });
    await refuses(t, ask(empty.KeyId), 'KMSInvalidStateException', `${empty.Arn} is pending import.`);
  });
});

test('GenerateRandom', async (t) => {
  const { kms } = await startKms(t);
  const random = async (input: object) => (await kms.send(new GenerateRandomCommand(input))).Plaintext;
  t.equal((await random({ NumberOfBytes: 1024 }))?.length, 1024);
  t.notSame(await random({ NumberOfBytes: 32 }), await random({ NumberOfBytes: 32 }));
  for (const input of [{}, { NumberOfBytes: 0 }, { NumberOfBytes: 1025 }]) {
    await refuses(t, random(input), 'ValidationException');
  }
  const { CustomKeyStoreId } = await kms.send(
    new CreateCustomKeyStoreCommand({
      CustomKeyStoreName: 'store',
      CloudHsmClusterId: 'cluster-1a23b4cdefg',
      TrustAnchorCertificate: 'certificate',
      KeyStorePassword: 'password',
    }),
  );
  const inStore = { NumberOfBytes: 8, CustomKeyStoreId };
  await refuses(t, random(inStore), 'CustomKeyStoreInvalidStateException');
  await kms.send(new ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  t.equal((await random(inStore))?.length, 8);
  await refuses(t, random({ ...inStore, CustomKeyStoreId: 'cks-0' }), 'CustomKeyStoreNotFoundException');
});

test('GetKeyLastUsage: no key was ever used', async (t) => {
  const { kms, create } = await startKms(t);
  const { KeyId, Arn, CreationDate } = await create();
  const { $metadata, ...answer } = await kms.send(new GetKeyLastUsageCommand({ KeyId: Arn }));
  t.strictSame(answer, { KeyId, KeyLastUsage: {}, KeyCreationDate: CreationDate, TrackingStartDate: CreationDate });
});

test('a description is text: of control characters it takes tab and line ends', async (t) => {
  // That AWS refuses the others is seen; neither that nor its answer is documented.
  const { kms, create } = await startKms(t);
  const { KeyId } = await create({ Description: 'of\ttwo\r\nlines, ä 中 😀' });
  for (const character of ['\u0000', '\u0007', '\u000B', '\u001B', '\u007F', '\u0085']) {
    const refusal = { name: 'ValidationException', $metadata: { httpStatusCode: 400 } };
    const Description = `a${character}b`;
    await t.rejects(create({ Description }), refusal, `CreateKey, ${character.charCodeAt(0)}`);
    const update = kms.send(new sdk.UpdateKeyDescriptionCommand({ KeyId, Description }));
    await t.rejects(update, refusal, `UpdateKeyDescription, ${character.charCodeAt(0)}`);
  }
});
