/** What can be set at start or through the control endpoint. All of it is off by default. */
import { KmsError } from './errors.ts';
import { type ForcedState, forcibleStates } from './forced-states.ts';
import { type PolicyRendering, policyRenderings } from './policy-rendering.ts';
import type { QuotaSetting } from './quotas.ts';

export type Settings = {
  /** Added to each call. */
  latency_milliseconds: number;
  /** Request quotas: false, true for AWS's own, or requests a second by operation, over AWS's own. */
  quotas: QuotaSetting;
  /** Seconds after a write in which every other read sees the key as it was before. */
  stale_reads_seconds: number;
  /** Seconds by which KMS's clock is ahead: in Date headers, timestamps and the age of signatures. May be below 0. */
  clock_offset_seconds: number;
  /** Parameters that KMS takes and does nothing with, by operation. */
  ignored_parameters: Record<string, string[]>;
  /** How GetKeyPolicy shows what PutKeyPolicy was given. */
  policy_rendering: PolicyRendering[];
  /**
   * Seconds for which a replica is Creating after it was made, and the old and the new primary key are Updating after
   * UpdatePrimaryRegion.
   */
  multi_region_seconds: number;
  /** States that keys show in place of their own. */
  key_states: ForcedState[];
};

export const standardSettings: Settings = {
  latency_milliseconds: 0,
  quotas: false,
  stale_reads_seconds: 0,
  clock_offset_seconds: 0,
  ignored_parameters: {},
  policy_rendering: [],
  multi_region_seconds: 0,
  key_states: [],
};

const checks: Record<keyof Settings, (value: unknown) => boolean> = {
  latency_milliseconds: isAmount,
  quotas: (value) => typeof value === 'boolean' || isRecordOf(value, isAmount),
  stale_reads_seconds: isAmount,
  clock_offset_seconds: Number.isFinite,
  ignored_parameters: (value) => isRecordOf(value, isListOfTexts),
  policy_rendering: (value) => isListOfTexts(value) && value.every((name) => isOneOf(policyRenderings, name)),
  multi_region_seconds: isAmount,
  key_states: (value) => Array.isArray(value) && value.every(isForcedState),
};

/**
 * The settings with some of them changed.
 * @param given an object with any of the settings.
 * @throws KmsError BadRequest for one that does not exist or has a wrong value.
 */
export function changedSettings(current: Settings, given: unknown): Settings {
  if (given === null || typeof given !== 'object') throw badRequest('The settings are an object');
  const changed: Record<string, unknown> = { ...current };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(checks, name)) throw badRequest(`There is no setting ${name}`);
    if (!checks[name as keyof Settings](value)) throw badRequest(`${name} can't be ${JSON.stringify(value)}`);
    changed[name] = value;
  }
  return changed as Settings;
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0;
}

function isListOfTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isOneOf(names: readonly string[], value: unknown): boolean {
  return names.some((name) => name === value);
}

function isRecordOf(value: unknown, isRight: (member: unknown) => boolean): boolean {
  return value !== null && typeof value === 'object' && !Array.isArray(value) && Object.values(value).every(isRight);
}

function isForcedState(value: unknown): value is ForcedState {
  const { key_id, state, reads, seconds } = (value ?? {}) as Record<string, unknown>;
  const isLimit = (limit: unknown) => limit === undefined || isAmount(limit);
  return typeof key_id === 'string' && isOneOf(forcibleStates, state) && isLimit(reads) && isLimit(seconds);
}

function badRequest(message: string): KmsError {
  return new KmsError('BadRequest', message);
}
