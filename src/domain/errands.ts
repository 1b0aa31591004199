/** Errands: what is asked of a key beside what is declared, one KMS call each. What the history tells of them, by operation. */
import type { EventData, KeyEvent } from './events.ts';
import type { ErrandName, ParametersOf, Step } from './operations.ts';

/** What is asked. */
export type Errand = { [Name in ErrandName]: { operation: Name; parameters: ParametersOf<Name> } }[ErrandName];

/** One that is on record. */
export type RecordedErrand = { id: string } & Errand;

/** Why one is not carried out. Without an operation: it never got as far as a call. */
export type ErrandError = EventData['rotation.refused']['error'];

/** How one ended. `grant`: what it allowed to whom, where a grant was ended and KMS told. */
export type ErrandEnd = { grant?: object | null } | { error: ErrandError };

/** The call that carries it out. */
export function stepOf({ operation, parameters }: Errand): Step {
  return { operation, field: null, parameters } as Step;
}

/** The grant that it is about; undefined: it is about none. */
export function grantIdOf({ parameters }: Errand): string | undefined {
  return parameters['GrantId'];
}

type Key = KeyEvent['key'];
type Told = (key: Key, errand: RecordedErrand, end: ErrandEnd | null) => KeyEvent;

/** @param end null: it is asked for. */
export function errandEvent(key: Key, errand: RecordedErrand, end: ErrandEnd | null): KeyEvent {
  return told[errand.operation](key, errand, end);
}

const told = {
  RotateKeyOnDemand: (key, { id }, end) => {
    const data = { origin: 'rotate', rotation_id: id } as const;
    if (end === null) return { type: 'rotation.requested', key, data };
    if (!('error' in end)) return { type: 'rotation.done', key, data };
    return { type: 'rotation.refused', key, data: { ...data, error: end.error } };
  },
  RevokeGrant: ofGrant('key.grant_revoked'),
  RetireGrant: ofGrant('key.grant_retired'),
} satisfies Record<ErrandName, Told>;

function ofGrant(type: 'key.grant_revoked' | 'key.grant_retired'): Told {
  return (key, errand, end) => {
    const data = { operation: errand.operation, grant_id: String(grantIdOf(errand)), request: errand.id };
    if (end === null) return { type: 'key.grant_end_requested', key, data };
    if (!('error' in end)) return { type, key, data: { ...data, grant: end.grant ?? null } };
    return { type: 'key.grant_end_refused', key, data: { ...data, error: end.error } };
  };
}
