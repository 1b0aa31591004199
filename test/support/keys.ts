/** A key of the usual kind, as it is declared and seen, for tests of pure rules: what a test is about, it says itself. */
import {
  type DesiredKey,
  newlyMade,
  nothingDeclared,
  nothingTold,
  type ObservedKey,
} from '../../src/domain/arguments.ts';

export const usualKey: ObservedKey = {
  ...nothingTold,
  ...newlyMade,
  key_usage: 'ENCRYPT_DECRYPT',
  customer_master_key_spec: 'SYMMETRIC_DEFAULT',
  arn: 'arn:aws:kms:us-east-1:111122223333:key/k',
  key_id: 'k',
  key_state: 'Enabled',
  enabled: true,
  origin: 'AWS_KMS',
  description: '',
  policy: {},
  tags: { 'keyward:id': 'x' },
};

export const usualDesired: DesiredKey = {
  ...nothingDeclared,
  tags_all: {},
  ignore_tags: { keys: [], key_prefixes: [] },
  ownership_tag: { name: 'keyward:id', value: 'x' },
};
