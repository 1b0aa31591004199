/** Everything that can happen, by type, and what is told of it. `src/schemas/events.ts` says the same to people. */
import type { ChangedField } from './recorded.ts';

/** What asked for a revision. */
export const revisionOrigins = [
  'create',
  'update',
  'delete',
  'restore',
  'release',
  'import',
  'revert',
  'rollback',
  'replace',
  'recreate',
  'promote',
  'drift',
  'recovery',
  'alias_taken',
] as const;
export type RevisionOrigin = (typeof revisionOrigins)[number];

/** Where the change that an event tells of came from. */
export const eventOrigins = ['api', 'import', 'drift', 'rollback', 'revert', 'recovery'] as const;
export type EventOrigin = (typeof eventOrigins)[number];

type Changes = Record<string, { before: unknown; after: unknown }>;
type DriftEntry = { field: string; desired: unknown; observed: unknown; since: string };
type Failure = { code: string; message: string };
type GrantEnd = { operation: string; grant_id: string; request: string };
type Rotation = { origin: 'rotate'; rotation_id: string };

type ImportData = { import: string; source: string; dry_run: boolean };

/** The data of each type. What is on record by it is append-only: a member may be added, none changes its meaning. */
export type EventData = {
  'desired_state.changed': { origin: RevisionOrigin; changes: Changes };
  'kms.write': {
    operation: string;
    parameters: object;
    outcome: 'done' | 'refused' | 'not_done' | 'unknown';
    cause?: 'provider';
    origin?: 'drift';
    before?: object;
    error?: Failure;
  };
  'sync.requested': { origin: 'sync' };
  'sync.failed': Failure & { operation: string };
  'drift.detected': { drift: DriftEntry[] };
  'drift.resolved': { drift: DriftEntry[] };
  'key.found': { arn: string };
  'key.stray': { arn: string; arn_on_record: string | null };
  'key.resolved': { arn: string; key_id: string; is_mine: boolean };
  'key.replaced': { origin: string; changes: Changes };
  'key.recreated': { origin: string; changes: Changes; warning: string };
  'key.role_changed': { origin: 'promote' | 'drift'; role: 'primary' | 'replica'; changes: Changes };
  'key.deleted': { arn: string | null };
  'key.released': { arn: string | null };
  'key.removed': { arn: string | null };
  'key.grant_end_requested': GrantEnd;
  'key.grant_revoked': GrantEnd & { grant: object | null };
  'key.grant_retired': GrantEnd & { grant: object | null };
  'key.grant_end_refused': GrantEnd & { error: Failure & { operation?: string } };
  'rotation.requested': Rotation;
  'rotation.done': Rotation;
  'rotation.refused': Rotation & { error: Failure & { operation?: string } };
  'unmanaged_key.found': { arn: string; provider: string; arn_on_record: string | null };
  'import.started': ImportData;
  'import.finished': ImportData & { state: 'done' | 'failed'; counts: object };
  'import.cancelled': ImportData & { counts: object };
  'provider.created': { changes: Changes };
  'provider.updated': { changes: Changes };
  'provider.deleted': { changes: Changes };
  'token.created': { name: string; expires_at: string | null };
  'token.revoked': { name: string };
  'role.changed': { name: string; changes: Changes };
  'role.deleted': { name: string; changes: Changes };
  'binding.created': { binding: object };
  'binding.deleted': { binding: object };
  'access.refused': { operation: string; method: string; path: string; status: number };
  'access.sign_in_failed': { operation: string; method: string; path: string };
  'access.events_read': { path: string; filters: object };
  'recovery.gap': { reason: string; gap: number };
  'recovery.resumed': { as: 'observed' | 'declared'; differences: ChangedField[] };
};

export type EventType = keyof EventData;
export type ProviderEventType = Extract<EventType, `provider.${string}`>;
/** Events of an import as a whole. */
export type ImportEventType = Extract<EventType, `import.${string}`>;
/** Events of the whole installation. */
export type InstallationEventType = 'recovery.gap';
/** Events of who may do what. */
export type AccessEventType = Extract<EventType, `${'token' | 'role' | 'binding' | 'access'}.${string}`>;
export type KeyEventType = Exclude<
  EventType,
  ProviderEventType | ImportEventType | InstallationEventType | AccessEventType
>;

/** An event of a key, at a generation of its desired state. */
export type KeyEvent = {
  [Type in KeyEventType]: { type: Type; key: { id: string; generation: number }; data: EventData[Type] };
}[KeyEventType];

export type ProviderEvent = {
  [Type in ProviderEventType]: { type: Type; provider: string; data: EventData[Type] };
}[ProviderEventType];

/** `provider`: null where each key has its own. */
export type ImportEvent = {
  [Type in ImportEventType]: { type: Type; provider: string | null; data: EventData[Type] };
}[ImportEventType];

export type AccessEvent = { [Type in AccessEventType]: { type: Type; data: EventData[Type] } }[AccessEventType];
