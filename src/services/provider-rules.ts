/** What a provider's `quotas` mean at its endpoint: the rates that calls are held to, and how stale answers may be. */
import { type EndpointRules, hostFault } from '../domain/endpoint-rules.ts';
import type { ProviderSettings } from '../domain/provider.ts';
import { isAwsEndpoint } from '../domain/regions.ts';
import { type QuotaRule, quotaRuleOf } from '../domain/request-quotas.ts';

/** What the rules go by. */
export type Quoted = Pick<ProviderSettings, 'endpoint' | 'quotas'>;

type Standard = {
  /** Of providers that have none of their own; null: AWS. */
  endpoint: string | null;
  /** Whether that is the built-in local KMS. */
  isBuiltIn: boolean;
  /** Which hosts an endpoint may name. */
  hosts: Omit<EndpointRules, 'configured'>;
  /** Milliseconds for which answers may be older than a write: of AWS, and of a KMS that is known to be none. */
  settle: { aws: number; others: number };
};

export class ProviderRules {
  readonly #standard: Standard;

  constructor(standard: Standard) {
    this.#standard = standard;
  }

  /** Whether the name of an endpoint may stand for this machine: the operator's own may. */
  takesLoopback(endpoint: string | null): boolean {
    return endpoint === null || this.#standard.hosts.takesLoopback;
  }

  /** Why no signed request may go to an endpoint; null: it may. */
  endpointFault(endpoint: string | null): string | null {
    const { endpoint: configured, hosts } = this.#standard;
    return endpoint === null ? null : hostFault(endpoint, { ...hosts, configured });
  }

  quotas({ endpoint, quotas }: Quoted): QuotaRule {
    return quotaRuleOf(quotas, this.#isAws(endpoint));
  }

  /** Milliseconds for which answers may be older than a write. What nobody has said to be an emulator may be AWS behind a gateway. */
  settling({ endpoint, quotas }: Quoted): number {
    const { settle, isBuiltIn } = this.#standard;
    if (quotas !== null && typeof quotas === 'object' && quotas.settle_seconds !== null) {
      return quotas.settle_seconds * 1000;
    }
    if (quotas === 'aws' || this.#isAws(endpoint)) return settle.aws;
    return quotas === 'none' || (isBuiltIn && endpoint === null) ? settle.others : settle.aws;
  }

  /** What tells the KMS of a provider from others in the same account and Region, as a part of a name. */
  place(endpoint: string | null): string {
    return endpoint === null || isAwsEndpoint(endpoint) ? '' : `@${URL.parse(endpoint)?.host}`;
  }

  /** By what the journal knows a provider's KMS. The port of the built-in one may be another at each start. */
  endpointName(own: string | null): string {
    if (this.#isAws(own)) return 'aws';
    if (own === null && this.#standard.isBuiltIn) return 'built-in';
    const endpoint = own ?? this.#standard.endpoint ?? '';
    return URL.parse(endpoint)?.host ?? endpoint;
  }

  #isAws(own: string | null): boolean {
    const endpoint = own ?? this.#standard.endpoint;
    return endpoint === null || isAwsEndpoint(endpoint);
  }
}
