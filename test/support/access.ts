/** Callers with rights of their own, in tests of who may do what. */
import { type Call, caller } from './service.ts';

/** An admin's token, as an operator gives it at start. */
export const adminToken = `kwd_${'admin-of-these-tests-'.repeat(2)}`;

export const withTokens = { AUTH_MODE: 'tokens', KEYWARD_BOOTSTRAP_TOKEN: adminToken };

/** Calls with a credential. */
export function callerWith(url: string, token: string): Call {
  const call = caller(url);
  return (method, path, body, headers = {}) =>
    call(method, path, body, { authorization: `Bearer ${token}`, ...headers });
}

/** What a token may do, and where. */
export type Wanted = { role?: string; providers?: string[]; tags?: Record<string, string>; expires_at?: string };

let made = 0;

/** Makes a token. @returns it, with its id and name. */
export async function addToken(admin: Call, wanted: Wanted = {}): Promise<{ id: string; name: string; token: string }> {
  made += 1;
  const body = { name: `test-${made}`, ...wanted };
  const answer = await admin<{ id: string; name: string; token: string }>('POST', '/v1/tokens', body);
  if (answer.status !== 201) throw new Error(`POST /v1/tokens: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}
