/** What one may be allowed to do, the roles that are built in, and what each operation asks for. */

/** Every permission, and what it lets one do. */
export const permissions = {
  'keys:read': 'see keys, their status, revisions and plans',
  'keys:create': 'declare new keys',
  'keys:update': 'change keys, and bring an earlier revision back',
  'keys:delete': 'schedule the deletion of keys',
  'keys:restore': 'take a deletion back',
  'keys:release': 'let go of keys and leave them in KMS',
  'keys:import': 'take keys that exist in KMS into management, and see those that are not managed',
  'keys:replace': 'replace the KMS key of a record',
  'keys:resolve': 'say which KMS key is that of a record',
  'keys:rotate': 'rotate keys on demand',
  'keys:grants': 'revoke and retire the grants of keys',
  'keys:sync': 'have keys observed, and their desired state enforced, now',
  'keys:bypass-lockout': "set a policy without KMS's check that its author is not locked out",
  'providers:read': 'see providers',
  'providers:write': 'make, change and delete providers, and so decide where signed requests go',
  'events:read': 'read events',
  'recovery:read': 'see what is held after a gap',
  'recovery:write': 'resume keys that are held after a gap',
  'metrics:read': 'read the metrics of the whole fleet',
  'tokens:read': 'see API tokens, though not what they are',
  'tokens:write': 'make and revoke API tokens',
  'access:read': 'see roles and bindings',
  'access:write': 'change roles and bindings',
  'access:on-behalf-of': 'say for whom one acts',
} as const;

export type Permission = keyof typeof permissions;

export const permissionNames = Object.keys(permissions) as Permission[];

const viewer: Permission[] = ['keys:read', 'providers:read', 'events:read', 'recovery:read'];
const operator: Permission[] = [...viewer, 'keys:sync', 'keys:rotate', 'keys:restore'];
const editor: Permission[] = [
  ...operator,
  'keys:create',
  'keys:update',
  'keys:delete',
  'keys:release',
  'keys:import',
  'keys:replace',
  'keys:grants',
];

/** The roles that are built in; nobody can change them. */
export const builtInRoles: Readonly<Record<string, readonly Permission[]>> = {
  viewer,
  operator,
  editor,
  admin: permissionNames,
};

/**
 * What a right has to reach, for a caller whose rights are limited.
 * `key`: the key in the path: who may not see it is told that there is none. `provider`: the provider in the path, likewise.
 * `key-or-new`: the key in the path, to be changed with keys:update; where there is none, the right to make it.
 * `filtered`: the service shows what may be seen, and checks what is declared. `everywhere`: the right must have no limit.
 */
export type Reach = 'key' | 'key-or-new' | 'provider' | 'filtered' | 'everywhere';

/** null: nothing but to be known. `public`: not even that. */
type Need = { permission: Permission; reach: Reach } | 'known' | 'public';

const ofKey = (permission: Permission): Need => ({ permission, reach: 'key' });
const filtered = (permission: Permission): Need => ({ permission, reach: 'filtered' });
const everywhere = (permission: Permission): Need => ({ permission, reach: 'everywhere' });

/** What each operation needs, by its operationId. A route under /v1 that is missing here keeps the service from starting. */
export const operationNeeds: Readonly<Record<string, Need>> = {
  getLiveness: 'public',
  getReadiness: 'public',
  getMetrics: everywhere('metrics:read'),

  listKeys: filtered('keys:read'),
  summarizeKeys: filtered('keys:read'),
  lookUpKey: filtered('keys:read'),
  exportKeys: filtered('keys:read'),
  applyKeys: filtered('keys:update'),
  exportTerraform: filtered('keys:read'),
  getKeyTerraform: ofKey('keys:read'),
  createKey: filtered('keys:create'),
  getKey: ofKey('keys:read'),
  putKey: { permission: 'keys:create', reach: 'key-or-new' },
  updateKey: ofKey('keys:update'),
  deleteKey: ofKey('keys:delete'),
  restoreKey: ofKey('keys:restore'),
  releaseKey: ofKey('keys:release'),
  releaseKeys: filtered('keys:release'),
  refreshKey: ofKey('keys:sync'),
  syncKey: ofKey('keys:sync'),
  planCreateKey: filtered('keys:create'),
  planUpdateKey: ofKey('keys:read'),
  replicateKey: ofKey('keys:update'),
  promoteKey: ofKey('keys:update'),
  replaceKey: ofKey('keys:replace'),
  recreateKey: ofKey('keys:replace'),
  resolveKey: { permission: 'keys:resolve', reach: 'everywhere' },
  rotateKey: ofKey('keys:rotate'),
  listKeyRotations: ofKey('keys:read'),
  listKeyGrants: ofKey('keys:read'),
  revokeKeyGrant: ofKey('keys:grants'),
  retireKeyGrant: ofKey('keys:grants'),
  listKeyRevisions: ofKey('keys:read'),
  rollbackKey: ofKey('keys:update'),
  listKeyEvents: ofKey('events:read'),
  importKey: filtered('keys:import'),
  listUnmanagedKeys: filtered('keys:import'),
  createImport: filtered('keys:import'),
  listImports: filtered('keys:read'),
  getImport: filtered('keys:read'),
  listImportItems: filtered('keys:read'),
  cancelImport: filtered('keys:import'),

  listEvents: filtered('events:read'),

  listProviders: filtered('providers:read'),
  createProvider: everywhere('providers:write'),
  getProvider: { permission: 'providers:read', reach: 'provider' },
  updateProvider: everywhere('providers:write'),
  deleteProvider: everywhere('providers:write'),
  checkProvider: everywhere('providers:write'),

  getRecovery: everywhere('recovery:read'),
  listHeldKeys: everywhere('recovery:read'),
  resumeHeldKeys: everywhere('recovery:write'),

  getAccess: 'known',
  listRoles: everywhere('access:read'),
  putRole: everywhere('access:write'),
  deleteRole: everywhere('access:write'),
  listBindings: everywhere('access:read'),
  createBinding: everywhere('access:write'),
  deleteBinding: everywhere('access:write'),
  listTokens: everywhere('tokens:read'),
  createToken: everywhere('tokens:write'),
  deleteToken: everywhere('tokens:write'),
};
