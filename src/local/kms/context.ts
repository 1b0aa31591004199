/** What an operation works with. */
import type { Clock } from './clock.ts';
import type { Parameters } from './parameters.ts';
import type { Place, Store } from './store.ts';

/** A signed call: where it goes and who makes it. */
export type Caller = Place & {
  arn: string;
  userId: string;
  /** The role that was assumed; null: the caller is a user. */
  roleArn: string | null;
};

export type Context = { store: Store; clock: Clock; caller: Caller };

/** Carries out one operation. @throws KmsError */
export type Operation = (context: Context, parameters: Parameters) => object;

export const emptyAnswer = {};
