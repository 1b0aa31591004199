/** As whom AWS is asked. Credentials come from the SDK's own chain; they are never stored and never shown. */
import {
  createCredentialChain,
  fromContainerMetadata,
  fromEnv,
  fromIni,
  fromNodeProviderChain,
  fromTemporaryCredentials,
  fromTokenFile,
} from '@aws-sdk/credential-providers';
import type { AssumeRole } from '../domain/provider.ts';
import { answerRules, demandAnswers } from './answers.ts';
import type { Connections } from './connections.ts';

/** Milliseconds for one call to STS, of which there may be three. */
const answersOfSts = { ...answerRules.sts, deadline: 6000 };

type Credentials = Awaited<ReturnType<ReturnType<typeof fromEnv>>>;
type CredentialProvider = () => Promise<Credentials>;

const standardSessionName = 'keyward';

/** Milliseconds before their end at which credentials are asked for anew; the SDK's clients do so five minutes before. */
const renewalTime = 330_000;
/** Milliseconds for which credentials without an end are taken to be the ones in force. */
const longestTrust = 300_000;
/** Milliseconds for which a failure stands: thousands of keys that want the same credentials ask for them once. */
const failureStands = 5000;
/** Milliseconds after which the chain, whose links have time-outs of their own or none, is given up. */
const deadline = 20_000;

/** Why there are no credentials. The name is the SDK's, by which such errors are known. */
class CredentialsUnavailable extends Error {
  override readonly name = 'CredentialsProviderError';
}

/**
 * The credentials for one account and Region, asked for once for all clients.
 * @param endpoint null: AWS itself. Elsewhere, where none are configured, fixed ones are used that mean nothing to AWS.
 */
export function credentialsFor(target: {
  endpoint: string | null;
  region: string;
  assumeRole: AssumeRole | null;
  connections: Connections;
}): CredentialProvider {
  const { endpoint, region, assumeRole, connections } = target;
  const base = endpoint === null ? fromNodeProviderChain() : credentialsForOtherEndpoints();
  if (assumeRole === null) return shared(() => providedBy(base, "The service's own credentials can't be had"));
  const assumed = fromTemporaryCredentials({
    masterCredentials: () => base(),
    params: {
      RoleArn: assumeRole.role_arn,
      RoleSessionName: assumeRole.session_name ?? standardSessionName,
      ...(assumeRole.external_id === null ? {} : { ExternalId: assumeRole.external_id }),
    },
    clientConfig: {
      region,
      requestHandler: connections.handlerFor(answersOfSts.deadline),
      ...(endpoint === null ? {} : { endpoint }),
    },
    clientPlugins: [{ applyToStack: (middlewareStack) => demandAnswers({ middlewareStack }, answersOfSts) }],
  });
  return shared(() => providedBy(assumed, `The role ${assumeRole.role_arn} can't be assumed`));
}

/**
 * STS's AccessDenied is no word of KMS on a change: nothing may be taken back for it.
 * @param trouble what it means that there are none.
 */
async function providedBy(provide: CredentialProvider, trouble: string): Promise<Credentials> {
  const timeIsUp = Promise.withResolvers<never>();
  const late = new CredentialsUnavailable(`${trouble}: nobody gave any within ${deadline} ms`);
  const timer = setTimeout(() => timeIsUp.reject(late), deadline);
  try {
    return await Promise.race([provide(), timeIsUp.promise]);
  } catch (error) {
    if (error === late) throw late;
    const { name, message } = error as Error;
    throw new CredentialsUnavailable(`${trouble}: ${name}: ${message}`);
  } finally {
    clearTimeout(timer);
  }
}

function shared(provide: CredentialProvider): CredentialProvider {
  let known: { answer: Promise<Credentials>; until: number } | undefined;
  return () => {
    if (known !== undefined && Date.now() < known.until) return known.answer;
    const asked = { answer: provide(), until: Date.now() + longestTrust };
    asked.answer.then(
      ({ expiration }) => {
        if (expiration !== undefined) asked.until = expiration.getTime() - renewalTime;
      },
      () => {
        asked.until = Date.now() + failureStands;
      },
    );
    known = asked;
    return asked.answer;
  };
}

/** The chain without the instance metadata service, whose look-up takes seconds where there is none. */
function credentialsForOtherEndpoints() {
  const inContainer =
    process.env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'] ?? process.env['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
  return createCredentialChain(
    fromEnv(),
    fromIni(),
    fromTokenFile(),
    ...(inContainer === undefined ? [] : [fromContainerMetadata()]),
    async () => ({ accessKeyId: '111122223333', secretAccessKey: 'not-a-secret-for-a-local-kms' }),
  );
}
