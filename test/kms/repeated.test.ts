import { test } from 'tap';
import { operationNames } from '../../src/domain/operations.ts';
import { toKmsFailure } from '../../src/kms/errors.ts';
import { probesOfWrites } from '../../src/kms/operations.ts';
import { createKey, startKms } from '../support/local-kms.ts';

test('a write that KMS has carried out already, and is sent again after a lost answer, is not taken to be refused', async (t) => {
  const { kms } = await startKms(t);
  const done: string[] = [];
  const probes = (keyId: string) =>
    probesOfWrites(keyId, { TagKey: 'team', TagValue: 'x' }).filter(({ operation }) => operation !== 'CreateKey');
  for (const [index, { operation }] of probes('').entries()) {
    const { KeyId } = await createKey(kms);
    // What comes before it makes something that it can undo. A disabled key refuses more.
    const before = probes(KeyId).slice(0, index);
    for (const one of before) if (one.operation !== 'DisableKey') await one.send(kms).catch(() => {});
    const send = () => probes(KeyId)[index]?.send(kms);
    const told = async () => {
      try {
        await send();
        return 'done';
      } catch (error) {
        return toKmsFailure(error, operation).kind;
      }
    };
    if ((await told()) !== 'done') continue;
    done.push(operation);
    t.match(await told(), /^(done|conflict|unpropagated|not_found)$/, operation);
  }
  t.ok(done.length > operationNames.length / 2);
});
