/**
 * What keeps a write from landing late: it is looked at as the very last thing before its bytes go out, and it is signed
 * so that AWS itself refuses it soon after.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { KMSClient, KMSClientConfig } from '@aws-sdk/client-kms';
import { SignatureV4 } from '@smithy/signature-v4';

/** Leave to send one write. */
export type Permit = {
  /** Called after credentials and signing. @throws NotSent when the write must not go out (any more). */
  beforeSend(): Promise<void>;
};

/** Thrown instead of sending a write whose time is up: it surely has no effect. */
export class NotSent extends Error {}

/** Milliseconds of a write's life, from the moment it is put on record. All of it is spent by `landsWithin`. */
export type WriteTimes = {
  /** When the last byte may be handed to the network. */
  sendWithin: number;
  /** How long after its signing AWS accepts it. */
  signatureLife: number;
  /** How long its answer is waited for. */
  requestTimeout: number;
  /** From here on it can no longer take effect. */
  landsWithin: number;
};

const longestRequest = 8000;

/**
 * Divides the time: a third to send, half for the signature, which leaves a sixth for a clock of this host that is fast.
 * A clock that is slow makes the signature's life shorter by as much. The SDK corrects the clock by the Date header of
 * every answer, so that only a client's first call depends on how the host's clock is set.
 */
export function writeTimes(landsWithin: number): WriteTimes {
  const signatureLife = landsWithin / 2;
  return {
    sendWithin: landsWithin / 3,
    signatureLife,
    requestTimeout: Math.min(longestRequest, signatureLife),
    landsWithin,
  };
}

/** AWS takes a signature for this long (SigV4: "Signature expired: … is now earlier than … - 5 min."). */
const acceptedAge = 300_000;

type SignerConstructor = NonNullable<KMSClientConfig['signerConstructor']>;
type Signer = InstanceType<SignerConstructor>;

/** Signs with a date so far back that AWS refuses the request `signatureLife` milliseconds after its signing. */
export function backdatedSigner(signatureLife: number): SignerConstructor {
  return class {
    readonly #signer: SignatureV4;

    constructor(...init: ConstructorParameters<SignerConstructor>) {
      this.#signer = new SignatureV4(...init);
    }

    sign(...[request, options]: Parameters<Signer['sign']>): ReturnType<Signer['sign']> {
      const now = options?.signingDate === undefined ? Date.now() : new Date(options.signingDate).getTime();
      return this.#signer.sign(request, { ...options, signingDate: new Date(now - acceptedAge + signatureLife) });
    }
  };
}

const permits = new AsyncLocalStorage<Permit>();

/** Runs a call of a client whose calls need leave. */
export function withPermit<Answer>(permit: Permit, run: () => Promise<Answer>): Promise<Answer> {
  return permits.run(permit, run);
}

/** Has a client ask for leave at the last moment: after retries, credentials and signing, right before the handler. */
export function demandPermits({ middlewareStack }: KMSClient): void {
  middlewareStack.add(
    (next) => async (args) => {
      const permit = permits.getStore();
      if (permit === undefined) throw new NotSent('It was not sent: nobody gave leave.');
      await permit.beforeSend();
      return next(args);
    },
    { step: 'deserialize', priority: 'low', name: 'keywardPermit' },
  );
}
