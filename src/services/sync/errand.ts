/** What it takes to carry out an errand, whatever it asks for. */
import type { ErrandEnd } from '../../domain/errands.ts';
import type { ObservedKey, Step } from '../../domain/types.ts';
import type { Kms } from '../../kms/client.ts';
import type { Services } from '../context.ts';
import type { KeyErrand } from '../rows/errands.ts';
import type { Work } from './lease.ts';

/** Carries out one step through the journal. */
export type Apply = (key: ObservedKey, step: Step) => Promise<ObservedKey>;

/** Whose errands are carried out, and how to get there. */
export type Sender = { services: Services; kms: Kms; work: Work; key: ObservedKey; apply: Apply };

/** How one operation is carried out. */
export type Way = {
  /** Errands of one name wait for each other: what is before one of them may decide what becomes of it. */
  turn(errand: KeyErrand): string;
  /** @throws KmsFailure while it has to be tried again, or KMS refuses. */
  carryOut(sender: Sender, errand: KeyErrand): Promise<ErrandEnd>;
};
