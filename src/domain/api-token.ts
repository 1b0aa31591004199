/** The form of API tokens: `kwd_`, 256 bits of randomness, and a checksum by which a mistyped one, or one in a log, is known. */

import { crc32 } from 'node:zlib';

const form = /^kwd_([A-Za-z0-9_-]{43})([0-9a-f]{8})$/;
const formOfAny = /^kwd_[A-Za-z0-9_-]{32,500}$/;

/** Whether a text can be a token at all: one that was made here, or one that an operator has chosen. */
export function isTokenForm(text: string): boolean {
  if (!formOfAny.test(text)) return false;
  const [, random, checksum] = form.exec(text) ?? [];
  return random === undefined || checksum === checksumOf(random);
}

/** @param random 32 bytes in base64url. */
export function tokenOf(random: string): string {
  return `kwd_${random}${checksumOf(random)}`;
}

/** In hexadecimal digits. */
function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}
