/** The clients of this process: one for each provider, which follows its settings. */
import type { ProviderSettings } from '../domain/provider.ts';
import type { Rates } from '../domain/request-quotas.ts';
import { type Kms, type KmsTarget, openKms } from '../kms/client.ts';
import type { Limiter } from '../kms/quotas.ts';
import type { ProviderRules } from './provider-rules.ts';

/** Milliseconds for which calls under way may go on by a client whose settings have changed. */
const closingDelay = 60_000;

/** The clients of this process, by provider. */
export type Clients = {
  /** Those of a provider with these settings. */
  of(name: string, settings: ProviderSettings): Kms;
  /** For a look by settings that no provider has (yet). Whoever opens it closes it. */
  open(settings: ProviderSettings): Kms;
  /** Requests a second that a provider's KMS takes, as far as is known; null: any. */
  rates(name: string, settings: ProviderSettings): Rates | null;
  close(): void;
};

/** @param shared what is the same for all providers; `endpoint` is for those that have none of their own. */
export function openClients(
  shared: Omit<KmsTarget, 'region' | 'endpointName' | 'assumeRole' | 'quotas'>,
  limiter: Limiter,
  rules: ProviderRules,
): Clients {
  const known = new Map<string, { target: string; kms: Kms }>();
  const open = (settings: ProviderSettings) => {
    const { region, endpoint, assume_role: assumeRole } = settings;
    const place = placeOf({ region, assumeRole }) + rules.place(endpoint);
    const quotas = limiter.open(place, rules.quotas(settings));
    const endpointName = rules.endpointName(endpoint);
    const takesLoopback = rules.takesLoopback(endpoint);
    return openKms({
      ...shared,
      takesLoopback,
      endpoint: endpoint ?? shared.endpoint,
      endpointName,
      region,
      assumeRole,
      quotas,
    });
  };
  return {
    open,
    of: (name, settings) => {
      const target = JSON.stringify([settings.region, settings.endpoint, settings.assume_role]);
      const last = known.get(name);
      if (last?.target === target) {
        last.kms.quotas.follow(rules.quotas(settings));
        return last.kms;
      }
      if (last !== undefined) setTimeout(last.kms.close, closingDelay).unref();
      const kms = open(settings);
      known.set(name, { target, kms });
      return kms;
    },
    rates: (name, settings) => {
      const rule = rules.quotas(settings);
      if (rule === 'as_told') return known.get(name)?.kms.quotas.rates ?? null;
      return rule === 'none' ? null : rule;
    },
    close: () => {
      for (const { kms } of known.values()) kms.close();
    },
  };
}

/** Providers of one account and Region spend the same quotas. `own`: of whatever account the service's credentials are. */
function placeOf({ region, assumeRole }: Pick<KmsTarget, 'region' | 'assumeRole'>): string {
  const account = assumeRole?.role_arn.split(':')[4] ?? 'own';
  return `${account}/${region}`;
}
