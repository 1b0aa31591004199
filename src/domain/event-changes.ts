/** What an event changed, and where the change came from. */
import { afterStep } from './after-step.ts';
import type { ObservedKey } from './arguments.ts';
import { type EventOrigin, type EventType, eventOrigins } from './events.ts';
import type { Json } from './values.ts';

export type Members = { [member: string]: Json };

/** What an event says of before and after, by field; null where it is no change. */
export type BeforeAndAfter = { before: Members | null; after: Members | null };

/**
 * Reads an event's data. A change of desired state tells each field; drift tells what was declared and what KMS was seen
 * to hold; a KMS write tells the fields that it changed, CreateKey what KMS was given.
 */
export function beforeAndAfter(type: EventType, data: Members): BeforeAndAfter {
  const { changes, drift, operation, parameters, before, outcome } = data;
  if (isMembers(changes)) return { before: side(changes, 'before'), after: side(changes, 'after') };
  if (Array.isArray(drift)) {
    const entries = Object.fromEntries(drift.filter(isMembers).map((entry) => [String(entry['field']), entry]));
    const [declared, seen] = [side(entries, 'desired'), side(entries, 'observed')];
    return type === 'drift.resolved' ? { before: seen, after: declared } : { before: declared, after: seen };
  }
  if (outcome !== 'done' || !isMembers(parameters)) return { before: null, after: null };
  return isMembers(before) ? fieldsOfWrite(String(operation), parameters, before) : { before: null, after: parameters };
}

/** The fields that a write changed, as they were and as it left them. */
function fieldsOfWrite(operation: string, parameters: Members, before: Members): BeforeAndAfter {
  const after = afterStep(before as unknown as ObservedKey, { operation, parameters }) as unknown as Members;
  const changed = Object.keys(before).map((field): [string, Json] => [field, after[field] ?? null]);
  return { before, after: Object.fromEntries(changed) };
}

/** The origin of an event out of that of the revision it belongs to. */
export function eventOrigin(type: EventType, revisionOrigin: string | null): EventOrigin | null {
  if (type.startsWith('drift.') || revisionOrigin === 'drift') return 'drift';
  if (type.startsWith('provider.')) return 'api';
  if (revisionOrigin === null) return null;
  return eventOrigins.find((origin) => origin === revisionOrigin) ?? 'api';
}

const sides = ['before', 'after', 'desired', 'observed'];

/**
 * An event's data with something in place of the ids of other keys' records: those are told as which key a replica is of.
 * @param shown what is put in the place of an id.
 */
export function withRelatives(data: Members, shown: (id: string) => string | null): Members {
  const { changes, drift } = data;
  const told = (entry: Json): Json => {
    if (!isMembers(entry)) return entry;
    const members = Object.entries(entry).map(([name, value]): [string, Json] => {
      return [name, sides.includes(name) && typeof value === 'string' ? shown(value) : value];
    });
    return Object.fromEntries(members);
  };
  const ofPrimary = isMembers(changes) ? changes['replica_of'] : undefined;
  const isOfPrimary = (entry: Json) => isMembers(entry) && entry['field'] === 'replica_of';
  return {
    ...data,
    ...(isMembers(changes) && ofPrimary !== undefined ? { changes: { ...changes, replica_of: told(ofPrimary) } } : {}),
    ...(Array.isArray(drift) ? { drift: drift.map((entry) => (isOfPrimary(entry) ? told(entry) : entry)) } : {}),
  };
}

function side(entries: Members, name: string): Members {
  return Object.fromEntries(
    Object.entries(entries).map(([field, entry]): [string, Json] => [
      field,
      isMembers(entry) ? (entry[name] ?? null) : null,
    ]),
  );
}

function isMembers(value: Json | undefined): value is Members {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
