/** Where keys are, and how they are told apart: the keys of a multi-Region family share their id. */
import type { LoggedCall } from '../test/support/service.ts';

const account = '111122223333';

/** The Region of the default provider. */
export const home = 'us-east-1';

/** The providers of families, each in a Region of its own, where no other keys are. */
export const familyPlaces = { eu: 'eu-west-1', ap: 'ap-south-1', ca: 'ca-central-1' } as const;

export const allRegions: readonly string[] = [home, ...Object.values(familyPlaces)];

export function arnIn(region: string, keyId: string): string {
  return `arn:aws:kms:${region}:${account}:key/${keyId}`;
}

export const regionOf = (arn: string) => arn.split(':')[3] ?? '';
export const keyIdOf = (arn: string) => arn.split('/')[1] ?? '';

/** The ARN of the key that a call names. */
export function arnOf({ region, key_id }: LoggedCall): string {
  return arnIn(region, key_id ?? '');
}
