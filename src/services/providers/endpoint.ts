/** Whether the endpoint of the default provider speaks KMS at all: a web server at its address would be asked for ever. */
import { setTimeout as delay } from 'node:timers/promises';
import { notKmsAnswer } from '../../kms/answers.ts';
import { KmsFailure } from '../../kms/errors.ts';
import { listKeys } from '../../kms/inventory.ts';
import type { Services } from '../context.ts';
import { findSettings, standardProvider } from './settings.ts';

/** Milliseconds between two looks. */
const pause = 5000;

/** What is wrong with the endpoint; null: nothing, as far as is known. */
export type EndpointWatch = { readonly fault: string | null; stop(): Promise<void> };

/**
 * Looks beside the start, with one ListKeys, and again while something else than KMS answers. That KMS is away, or refuses, is no
 * fault of the endpoint.
 */
export function watchEndpoint(services: Services): EndpointWatch {
  const ending = new AbortController();
  let fault: string | null = null;
  const watch = async () => {
    do {
      const found = await faultOf(services);
      if (found !== fault) {
        if (found !== null)
          services.log.error({ reason: found }, 'the endpoint of the default provider does not speak KMS');
        else services.log.info('the endpoint of the default provider speaks KMS by now');
      }
      fault = found;
    } while (fault !== null && (await slept(ending.signal)));
  };
  const watching = watch().catch((error) => services.log.warn({ err: error }, 'could not look at the KMS endpoint'));
  return {
    get fault() {
      return fault;
    },
    stop: () => {
      ending.abort();
      return watching;
    },
  };
}

async function faultOf(services: Services): Promise<string | null> {
  const settings = await findSettings(services, standardProvider);
  if (settings === null) return null;
  try {
    await listKeys(services.clients.of(standardProvider, settings), 1, null);
    return null;
  } catch (error) {
    return error instanceof KmsFailure && error.code === notKmsAnswer ? error.message : null;
  }
}

async function slept(signal: AbortSignal): Promise<boolean> {
  return delay(pause, true, { signal }).catch(() => false);
}
