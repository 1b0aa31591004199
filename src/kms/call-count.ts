/** Tells of every call that a client made. */
import type { KMSClient } from '@aws-sdk/client-kms';
import { toKmsFailure } from './errors.ts';

/** @param outcome ok, or the kind of failure. What the SDK repeats by itself counts as one call. */
export type OnCall = (operation: string, outcome: string) => void;

export function tellOfCalls(client: KMSClient, onCall: OnCall): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const operation = (context.commandName ?? 'UnknownCommand').replace(/Command$/, '');
      try {
        const answer = await next(args);
        onCall(operation, 'ok');
        return answer;
      } catch (error) {
        onCall(operation, toKmsFailure(error, operation).kind);
        throw error;
      }
    },
    { step: 'initialize', name: 'tellOfCalls' },
  );
}
