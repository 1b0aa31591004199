/** What can be set at start or through the control endpoint. All of it is off by default. */
import { KmsError } from './errors.ts';
import type { QuotaSetting, Quotas } from './quotas.ts';
import type { StaleReads } from './stale-reads.ts';

export type Settings = {
  /** Added to each call. */
  latency_milliseconds: number;
  /** Request quotas: false, true for AWS's own, or requests a second by operation, over AWS's own. */
  quotas: QuotaSetting;
  /** Seconds after a write in which every other read sees the key as it was before. */
  stale_reads_seconds: number;
};

export const standardSettings: Settings = { latency_milliseconds: 0, quotas: false, stale_reads_seconds: 0 };

/**
 * The settings with some of them changed.
 * @param given an object with any of the settings.
 * @throws KmsError BadRequest for one that does not exist or has a wrong value.
 */
export function changedSettings(current: Settings, given: unknown): Settings {
  if (given === null || typeof given !== 'object') throw badRequest('The settings are an object');
  const changed: Record<string, unknown> = { ...current };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(standardSettings, name)) throw badRequest(`There is no setting ${name}`);
    const isRight = name === 'quotas' ? isQuotaSetting(value) : isAmount(value);
    if (!isRight) throw badRequest(`${name} can't be ${JSON.stringify(value)}`);
    changed[name] = value;
  }
  return changed as Settings;
}

/** Puts the settings in force. */
export function applySettings(settings: Settings, quotas: Quotas, staleReads: StaleReads): void {
  quotas.setting = settings.quotas;
  staleReads.seconds = settings.stale_reads_seconds;
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0;
}

function isQuotaSetting(value: unknown): value is QuotaSetting {
  if (typeof value === 'boolean') return true;
  return value !== null && typeof value === 'object' && Object.values(value).every(isAmount);
}

function badRequest(message: string): KmsError {
  return new KmsError('BadRequest', message);
}
