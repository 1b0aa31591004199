/** The forms in which people and programs name a KMS key. Source: AWS KMS API reference, KeyId of DescribeKey. */
import { isUuid } from './uuid.ts';

/** An alias; `home` null: its name alone, in whatever account and Region. */
export type AliasName = { name: string; home: { region: string; account: string } | null };

const keyId = /^mrk-[0-9a-f]{32}$/;
const keyArn = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[a-z0-9-]+$/;
const alias = /^(?:arn:aws[a-z-]*:kms:([a-z0-9-]+):(\d{12}):)?(alias\/[a-zA-Z0-9:/_-]{1,250})$/;

/** The alias that a text is; null: it is none. */
export function readAlias(text: string): AliasName | null {
  const [, region, account, name] = alias.exec(text) ?? [];
  if (name === undefined) return null;
  return { name, home: region === undefined || account === undefined ? null : { region, account } };
}

/** Whether a text can name a key, but for by an alias: Keyward's id, or the key id or ARN of KMS. */
export function isKeyName(text: string): boolean {
  return isUuid(text) || keyId.test(text) || keyArn.test(text);
}
