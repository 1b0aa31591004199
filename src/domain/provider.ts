/** What a provider says: where its keys are, how to get there, and what holds for all of them. Terraform's provider block. */
import type { ProviderQuotas } from './request-quotas.ts';
import type { TagSettings } from './tags.ts';

/** A role to take on before anything is asked: Terraform's `assume_role`. */
export type AssumeRole = { role_arn: string; external_id: string | null; session_name: string | null };

export type ProviderSettings = TagSettings & {
  region: string;
  /** null: the one that the service is configured with. */
  endpoint: string | null;
  assume_role: AssumeRole | null;
  /** Empty: any account. */
  allowed_account_ids: string[];
  /** Of new keys that don't say. */
  drift_policy: 'enforce' | 'report' | 'adopt';
  refresh_interval_seconds: number;
  /** null: by the endpoint. */
  quotas: ProviderQuotas | null;
};
