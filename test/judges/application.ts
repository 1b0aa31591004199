/** What an application does with the keys that Keyward made: at emulators, since the local KMS has no key material. */
import assert from 'node:assert/strict';
import {
  DecryptCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  SignCommand,
  VerifyCommand,
} from '@aws-sdk/client-kms';
import { type Context, create, type Scenario } from '../contract/scenario.ts';

const text = Buffer.from('what an application keeps to itself');

const EncryptionContext = { team: 'ops' };

async function encrypt({ kms }: Context, KeyId: string) {
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: text, EncryptionContext }));
  return async () => {
    const { Plaintext } = await kms.send(new DecryptCommand({ KeyId, CiphertextBlob, EncryptionContext }));
    return Buffer.from(Plaintext ?? []);
  };
}

export const applicationScenarios: Scenario[] = [
  {
    name: 'application: what is encrypted with a key is decrypted again',
    run: async (context) => {
      const { key_id: KeyId } = await create(context);
      const decrypt = await encrypt(context, KeyId);
      assert.deepEqual(await decrypt(), text);
      const { Plaintext } = await context.kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }));
      assert.equal(Plaintext?.length, 32);
    },
  },
  {
    name: 'application: a key that Keyward disables decrypts nothing until it is enabled',
    run: async (context) => {
      const { id, key_id: KeyId } = await create(context);
      const decrypt = await encrypt(context, KeyId);
      assert.equal((await context.call('PATCH', `/v1/keys/${id}`, { is_enabled: false })).status, 200);
      await assert.rejects(decrypt(), { name: 'DisabledException' });
      assert.equal((await context.call('PATCH', `/v1/keys/${id}`, { is_enabled: true })).status, 200);
      assert.deepEqual(await decrypt(), text);
    },
  },
  {
    name: 'application: what is signed with a key is verified',
    run: async (context) => {
      const key = await create(context, { customer_master_key_spec: 'ECC_NIST_P256', key_usage: 'SIGN_VERIFY' });
      const input = { KeyId: key.key_id, Message: text, SigningAlgorithm: 'ECDSA_SHA_256' } as const;
      const { Signature } = await context.kms.send(new SignCommand(input));
      const { SignatureValid } = await context.kms.send(new VerifyCommand({ ...input, Signature }));
      assert.equal(SignatureValid, true);
    },
  },
];
