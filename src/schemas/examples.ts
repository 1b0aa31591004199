/**
 * The examples of the OpenAPI document: of bodies and answers by the name of their schema, or by the operation where that needs its
 * own. Tests check them against the schemas, and send the bodies.
 */
import type { Static } from 'typebox';
import { nothingDeclared } from '../domain/arguments.ts';
import { accessAnswers, accessBodies } from './access-examples.ts';
import type { Problem } from './common.ts';
import type { Event, Revision } from './history.ts';
import type { Import, ImportCreate, ImportItem } from './imports.ts';
import type { Key, KeyCreate, KeyImport, KeyPatch, KeyResolution, ReplicaCreate } from './key.ts';
import type { ApplyResult, ExportedKey, KeyDeclaration, KeyRelease, KeyReleased } from './key-lines.ts';
import type { Plan } from './plan.ts';
import type { Provider, ProviderCheck, ProviderCreate, ProviderPatch } from './provider.ts';
import type { HeldKey, Recovery, RecoveryResume, RecoveryResumed } from './recovery.ts';
import type { UnmanagedKey } from './unmanaged.ts';

const id = '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10';
const keyId = '1234abcd-12ab-34cd-56ef-1234567890ab';
const arn = `arn:aws:kms:eu-west-1:111122223333:key/${keyId}`;
const requestId = '3f0c7a52-6d0e-4f43-9a55-0d6f0f7a7c11';
const cursor = 'a2V5cyBieSAtY3JlYXRlZF9hdAowMTk4MGU2Yy03YTRiLTdjMWUtOWYwMC0zYjVlOGQxYzJhMTAgMTc4Mjg5ODIwMDAwMA';
const then = '2026-07-01T09:30:00.000Z';
const now = '2026-07-01T09:30:01.250Z';

const policy = {
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Principal: { AWS: 'arn:aws:iam::111122223333:root' }, Action: 'kms:*', Resource: '*' },
  ],
};

/** With `tags` and no `policy`: it is taken as it is, whichever account the service works for. */
const keyCreate: KeyCreate = {
  description: 'Card data of the payments team',
  tags: { team: 'payments' },
  enable_key_rotation: true,
};
const keyPatch: KeyPatch = { description: 'Card data', tags: { env: 'prod' } };
const replicaCreate: ReplicaCreate = { provider: 'payments-eu', description: 'Card data, for recovery' };
const keyImport: KeyImport = { key_id: keyId };
const keyResolution: KeyResolution = { key_id: keyId, is_mine: true };
const keyDeclaration: KeyDeclaration = { id, ...keyCreate };
const keyRelease: KeyRelease = { ids: [id] };
const importCreate: ImportCreate = { source: { all: true, tags: { team: 'payments' } }, dry_run: true };
const resume: RecoveryResume = { keys: 'all', as: 'observed' };
const providerCreate: ProviderCreate = {
  name: 'payments-prod',
  region: 'eu-west-1',
  default_tags: { env: 'prod' },
  drift_policy: 'report',
};
const providerPatch: ProviderPatch = { default_tags: { cost_center: '4711' }, refresh_interval_seconds: 900 };

export const bodyExamples: Record<string, unknown> = {
  ...accessBodies,
  KeyCreate: keyCreate,
  KeyPut: keyCreate,
  KeyPatch: keyPatch,
  ReplicaCreate: replicaCreate,
  KeyImport: keyImport,
  ImportCreate: importCreate,
  KeyResolution: keyResolution,
  KeyDeclarations: [keyDeclaration],
  KeyRelease: keyRelease,
  KeyRollback: { generation: 1 },
  RecoveryResume: resume,
  ProviderCreate: providerCreate,
  ProviderPatch: providerPatch,
  replaceKey: { customer_master_key_spec: 'RSA_4096', key_usage: 'SIGN_VERIFY', enable_key_rotation: false },
};

const { lifecycle: _lifecycle, pending_window_in_days: _window, ...defaults } = nothingDeclared;

const key: Key = {
  id,
  arn,
  key_id: keyId,
  provider: 'payments-prod',
  replica_of: null,
  ...defaults,
  description: 'Card data of the payments team',
  policy,
  enable_key_rotation: true,
  rotation_period_in_days: 365,
  tags: { team: 'payments' },
  tags_all: { team: 'payments', env: 'prod' },
  aliases: ['alias/payments'],
  drift_policy: 'report',
  status: {
    state: 'in_sync',
    generation: 1,
    synced_generation: 1,
    key_state: 'Enabled',
    drift: [],
    error: null,
    aliases: ['alias/payments'],
    primary_arn: null,
    replicas: [],
    held: false,
    deletion_date: null,
    last_observed_at: now,
    last_synced_at: now,
  },
  created_at: then,
  updated_at: now,
};
const change = { before: 'Card data', after: 'Card data of the payments team' };
const drift = { field: 'is_enabled', desired: true, observed: false, since: then };
const { bypass_policy_lockout_safety_check, deletion_window_in_days, is_enabled, description, tags } = key;

const plan: Plan = {
  steps: [{ operation: 'UpdateKeyDescription', parameters: { Description: change.after }, field: 'description' }],
  changes: { description: change },
  replacement: [],
  refusals: [],
  drift: [drift],
};
const revision: Revision = {
  generation: 2,
  origin: 'update',
  actor: 'anonymous',
  on_behalf_of: null,
  request_id: requestId,
  changes: { description: change },
  desired: { description, tags, is_enabled, deletion_window_in_days, bypass_policy_lockout_safety_check },
  outcome: 'held',
  error: null,
  created_at: then,
  settled_at: now,
};
const event: Event = {
  id: '1042',
  type: 'desired_state.changed',
  key: id,
  provider: null,
  generation: 2,
  origin: 'api',
  actor: 'anonymous',
  request_id: requestId,
  before: { description: change.before },
  after: { description: change.after },
  data: { origin: 'update', changes: { description: change } },
  address: '192.0.2.10',
  user_agent: 'portal/1.4',
  on_behalf_of: null,
  created_at: then,
};
const provider: Provider = {
  name: 'payments-prod',
  region: 'eu-west-1',
  endpoint: null,
  assume_role: {
    role_arn: 'arn:aws:iam::111122223333:role/keyward',
    session_name: null,
  },
  allowed_account_ids: ['111122223333'],
  default_tags: { env: 'prod' },
  ignore_tags: { keys: [], key_prefixes: ['backup:'] },
  drift_policy: 'report',
  refresh_interval_seconds: 600,
  quotas: null,
  progress: { keys_total: 1, keys_in_sync: 1, keys_pending: 0, started_at: null, expected_until: null },
  created_at: then,
  updated_at: then,
};
const providerCheck: ProviderCheck = {
  ok: true,
  account_id: '111122223333',
  caller_arn: 'arn:aws:sts::111122223333:assumed-role/keyward/keyward',
  region: 'eu-west-1',
  error: null,
  permissions: [{ action: 'kms:CreateKey', allowed: true, detail: null }],
};
const recovery: Recovery = {
  held: true,
  reason: 'The database lacks writes that a process knows of.',
  since: then,
  keys_total: 120,
  keys_checked: 118,
  keys_differing: 1,
};
const heldKey: HeldKey = {
  id,
  arn,
  provider: 'payments-prod',
  checked: true,
  differences: [{ field: 'description', recorded: change.before, observed: change.after }],
};
const resumed: RecoveryResumed = { resumed: 1, not_checked: 2, not_resumed: 0, refused: [] };
const unmanagedKey: UnmanagedKey = {
  provider: 'payments-prod',
  key_id: keyId,
  arn,
  description: 'Made by hand',
  key_usage: 'ENCRYPT_DECRYPT',
  customer_master_key_spec: 'SYMMETRIC_DEFAULT',
  multi_region: false,
  key_state: 'Enabled',
  key_manager: 'CUSTOMER',
  is_replica: false,
  creation_date: then,
  deletion_date: null,
  tags: { team: 'payments' },
  aliases: ['alias/payments'],
  claimed_id: null,
  observed_at: now,
};
const imported: Import = {
  id,
  state: 'running',
  source: 'all',
  provider: 'payments-prod',
  tags: { team: 'payments' },
  drift_policy: null,
  dry_run: false,
  counts: { total: 300, imported: 118, already_managed: 2, skipped: 30, failed: 0, waiting: 150 },
  rate: 74.5,
  expected_until: now,
  error: null,
  requested_by: 'token:portal',
  started_at: then,
  finished_at: null,
};
const importItem: ImportItem = {
  source: 'module.payments.aws_kms_key.this["cards"]',
  provider: 'payments-prod',
  arn,
  outcome: 'skipped',
  reason: {
    code: 'pending_deletion',
    detail: `${arn} is pending deletion: cancel the deletion, then import it.`,
  },
  id: null,
  differences: [],
  declared: null,
  finished_at: now,
};
const grant = {
  grant_id: '0c237476b39f8bc44e45212e08498fbe3151305030726c0590dd8d3e9f3d6a60',
  name: 'billing',
  grantee_principal: 'arn:aws:iam::111122223333:role/billing',
  grantee_service_principal: null,
  retiring_principal: 'arn:aws:iam::111122223333:role/platform',
  retiring_service_principal: null,
  issuing_account: 'arn:aws:iam::111122223333:root',
  operations: ['Decrypt', 'GenerateDataKey'],
  constraints: { encryption_context_subset: { team: 'payments' }, encryption_context_equals: null, source_arn: null },
  creation_date: then,
};
const rotation = {
  rotation_date: then,
  rotation_type: 'ON_DEMAND',
  key_material_id: '96083e4fb6dbc41d77578a213a6b6669c044dd4c143e96755396d2bf11fd6068',
  key_material_state: 'CURRENT',
};

const exported: ExportedKey = {
  id,
  provider: key.provider,
  arn,
  key_id: keyId,
  replica_of: null,
  ...defaults,
  description: key.description,
  policy,
  enable_key_rotation: true,
  rotation_period_in_days: 365,
  tags: key.tags,
  aliases: key.aliases,
  drift_policy: 'report',
};
const applied: ApplyResult = {
  line: 1,
  id,
  outcome: 'imported',
  pending: false,
  generation: 1,
  state: 'in_sync',
  arn,
};
const released: KeyReleased = { items: [{ id, outcome: 'released', pending: false }] };

const terraform = `import {
  to = aws_kms_key.card_data_3b5e8d1c2a10
  id = "${keyId}"
}

resource "aws_kms_key" "card_data_3b5e8d1c2a10" {
  provider            = aws.payments_prod
  description         = "Card data"
  enable_key_rotation = true
}
`;

const page = (item: unknown, next_cursor: string | null = null) => ({ items: [item], next_cursor });

export const answerExamples: Record<string, unknown> = {
  ...accessAnswers,
  Key: key,
  KeyList: page({ ...key, etag: '"1.4"' }, cursor),
  KeyPartial: { id, status: key.status },
  KeyPartialList: page({ id, status: key.status, etag: '"1.4"' }, cursor),
  KeySummary: {
    total: 12,
    by_state: { in_sync: 11, drifted: 1 },
    by_provider: { 'payments-prod': 12 },
    by_key_usage: { ENCRYPT_DECRYPT: 12 },
    by_customer_master_key_spec: { SYMMETRIC_DEFAULT: 12 },
  },
  ExportedKeys: [exported],
  ApplyResults: [applied],
  KeyReleased: released,
  Plan: plan,
  RevisionList: page(revision),
  EventList: page(event),
  Provider: provider,
  ProviderList: page(provider),
  ProviderCheck: providerCheck,
  Recovery: recovery,
  HeldKeyList: page(heldKey),
  RecoveryResumed: resumed,
  UnmanagedKeyList: {
    ...page(unmanagedKey),
    sweeps: [{ provider: 'payments-prod', as_of: now, error: null }],
  },
  Import: imported,
  ImportList: page(imported, cursor),
  ImportItemList: page(importItem),
  KeyRotationList: page(rotation),
  KeyGrantList: page(grant),
  Health: { status: 'ok' },
  getReadiness: { status: 'ok', held: false, reason: null },
  exportTerraform: terraform,
  getKeyTerraform: terraform,
  getMetrics: '# HELP keyward_keys Keys by state\n# TYPE keyward_keys gauge\nkeyward_keys{state="in_sync"} 12\n',
};

const etag = '"1.4"';
/** By the name of the parameter: one means the same wherever it is. */
export const parameterExamples: Record<string, unknown> = {
  id,
  name: 'payments-prod',
  limit: 50,
  cursor,
  key: id,
  sort: '-updated_at',
  q: 'payments',
  fields: ['id', 'status', 'etag'],
  include: ['replicas'],
  alias: 'alias/payments',
  grant_id: grant.grant_id,
  'idempotency-key': '7d9f2b1e-0c6a-4a55-8f2b-5b7c1d2e3f40',
  'if-match': etag,
  'if-none-match': etag,
  prefer: 'wait=20',
};

type ProblemExample = Static<typeof Problem>;

function problem(
  kind: string,
  status: number,
  title: string,
  detail: string,
  rest: Partial<ProblemExample> = {},
): ProblemExample {
  const instance = rest.errors?.[0]?.parameter === 'limit' ? '/v1/keys' : `/v1/keys/${id}`;
  return {
    type: `https://keyward.example.com/problems/${kind}`,
    title,
    status,
    detail,
    instance,
    request_id: requestId,
    ...rest,
  };
}

const notNow = 'The database is away. Nothing was recorded.';
const broken = [
  { pointer: '/deletion_window_in_days', code: 'out_of_range' as const, detail: 'It must be 7 or more.' },
];

export const problemExamples: Record<number, ProblemExample> = {
  400: problem('malformed-request', 400, 'Malformed request', 'limit: It must be 200 or less.', {
    errors: [{ parameter: 'limit', code: 'out_of_range', detail: 'It must be 200 or less.' }],
  }),
  401: problem('unauthenticated', 401, 'Unauthenticated', 'The request says not who asks.'),
  403: problem('forbidden', 403, 'Forbidden', 'The caller has no permission keys:update on this key.', { id }),
  404: problem('not-found', 404, 'Not found', `There is no key with the id "${id}".`),
  405: problem(
    'method-not-allowed',
    405,
    'Method not allowed',
    `POST is not possible at /v1/keys/${id}; DELETE, GET, HEAD, OPTIONS, PATCH, PUT are.`,
  ),
  408: problem('malformed-request', 408, 'Malformed request', 'The request took too long.', { instance: '' }),
  409: problem(
    'conflict',
    409,
    'Conflict',
    'The key has deletion_protection; set it to false before deleting the key.',
    {
      id,
    },
  ),
  412: problem(
    'stale-generation',
    412,
    'Stale generation',
    `If-Match asks for ${etag}, but the key is at generation 2.`,
    {
      id,
    },
  ),
  413: problem('body-too-large', 413, 'Body too large', 'Request body is too large.'),
  415: problem(
    'unsupported-media-type',
    415,
    'Unsupported media type',
    'The request has a body of type "text/plain"; application/json is right.',
  ),
  422: problem('invalid-input', 422, 'Invalid input', 'One rule is broken; nothing was changed.', { errors: broken }),
  429: problem('too-many-requests', 429, 'Too many requests', 'The caller asks too often: try again later.'),
  431: problem('malformed-request', 431, 'Malformed request', 'The headers are too large.', { instance: '' }),
  500: problem(
    'internal-error',
    500,
    'Internal error',
    'An error in Keyward; its log tells more under the request id.',
  ),
  503: problem('temporarily-unavailable', 503, 'Temporarily unavailable', notNow),
};
