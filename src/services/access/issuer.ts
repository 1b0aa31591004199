/** An OIDC issuer: where its keys are, and whose word its tokens are. */

import type { FastifyBaseLogger } from 'fastify';
import { createLocalJWKSet, decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { ProblemError } from '../problems.ts';

/** None that a public key could be used as a secret for, and not `none`. */
const algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'];

/** Milliseconds. */
const times = {
  /** In which an issuer must answer. */
  answer: 5000,
  /** Between two requests for its keys, whatever tokens come: one of an unknown key must not cost one each. */
  coolDown: 5000,
  /** After which its keys are asked for anew, beside the requests. */
  freshness: 600_000,
};
/** Seconds by which clocks may differ. */
const clockTolerance = 5;

/** Who a token is of, by the word of its issuer. */
export type Identity = { issuer: string; sub: string; groups: string[]; expiresAt: number };

export type JwtRules = { issuers: readonly string[]; audience: string; groupsClaim: string };

export type JwtVerifier = (token: string) => Promise<Identity | null>;

/** @returns what tells whose a token is; null: it is none, or of none of the issuers, or not valid (any more). */
export function openVerifier({ issuers, audience, groupsClaim }: JwtRules, log: FastifyBaseLogger): JwtVerifier {
  const keySets = new Map(issuers.map((issuer) => [issuer, new KeySet(issuer, log)]));
  return async (token) => {
    try {
      const { iss } = decodeJwt(token);
      const keys = iss === undefined ? undefined : keySets.get(iss);
      if (iss === undefined || keys === undefined) return null;
      const rules = { issuer: iss, audience, algorithms, requiredClaims: ['exp', 'sub'], clockTolerance };
      const { payload } = await jwtVerify(token, keys.keyFor, rules);
      return identityIn(payload, iss, groupsClaim);
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error;
      log.info({ reason: error.code }, 'a JWT was refused');
      return null;
    }
  };
}

function identityIn({ sub, exp, ...claims }: JWTPayload, issuer: string, groupsClaim: string): Identity | null {
  if (sub === undefined || exp === undefined || !isName(sub)) return null;
  const groups = [claims[groupsClaim] ?? []].flat().filter((group) => typeof group === 'string' && isName(group));
  return { issuer, sub, groups: groups as string[], expiresAt: exp * 1000 };
}

/** None that a log would show as another: without control characters, and marks that turn the direction of writing. */
function isName(text: unknown): boolean {
  return typeof text === 'string' && text.isWellFormed() && /^[^\p{Cc}\u202A-\u202E\u2066-\u2069]{1,256}$/u.test(text);
}

/** The keys of an issuer. One that is away stops nobody whose key is known. */
class KeySet {
  readonly #issuer: string;
  readonly #log: FastifyBaseLogger;
  #known: JWTVerifyGetKey | null = null;
  #asked = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | null = null;

  constructor(issuer: string, log: FastifyBaseLogger) {
    this.#issuer = issuer;
    this.#log = log;
  }

  /** `jku`, `x5u` and `jwk` of the header lead nowhere: the issuer's own keys alone are looked at. */
  keyFor: JWTVerifyGetKey = async (header, token) => {
    if (this.#known !== null) {
      if (Date.now() - this.#asked > times.freshness) void this.#ask();
      try {
        return await this.#known(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      }
    }
    await this.#ask();
    if (this.#known !== null) return this.#known(header, token);
    throw new ProblemError('temporarily-unavailable', 'The issuer of the token does not tell its keys now.');
  };

  /** Not again while it cools down, however many ask. */
  #ask(): Promise<void> {
    if (this.#asking !== null) return this.#asking;
    if (Date.now() - this.#asked < times.coolDown) return Promise.resolve();
    this.#asked = Date.now();
    this.#asking = this.#fetch().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #fetch(): Promise<void> {
    try {
      const discovery = (await getJson(`${this.#issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)) as {
        issuer?: unknown;
        jwks_uri?: unknown;
      };
      if (discovery.issuer !== this.#issuer) throw new Error(`it calls itself ${JSON.stringify(discovery.issuer)}`);
      const url = String(discovery.jwks_uri);
      const isPlain = url.startsWith('http://') && this.#issuer.startsWith('http://');
      if (!url.startsWith('https://') && !isPlain) throw new Error('its jwks_uri is not https');
      this.#known = createLocalJWKSet((await getJson(url)) as Parameters<typeof createLocalJWKSet>[0]);
    } catch (error) {
      this.#log.warn({ issuer: this.#issuer, reason: (error as Error).message }, "could not get an issuer's keys");
    }
  }
}

async function getJson(url: string): Promise<unknown> {
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(times.answer) });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  return response.json();
}
