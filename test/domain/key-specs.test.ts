import { KeySpec, KeyUsageType } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { keySpecs, keyUsages, usageFitsSpec, usagesBySpec } from '../../src/domain/key-specs.ts';

test('every KeySpec and every KeyUsageType of the SDK is known', async (t) => {
  t.same(new Set(keySpecs), new Set(Object.values(KeySpec)));
  t.same(new Set(keyUsages), new Set(Object.values(KeyUsageType)));
});

test('each usage goes with some spec, and each spec with some usage', async (t) => {
  for (const usage of keyUsages)
    t.ok(
      keySpecs.some((spec) => usageFitsSpec(usage, spec)),
      usage,
    );
  for (const spec of keySpecs) t.ok(usagesBySpec[spec].length > 0, spec);
});
