/** The import rules of the house: routes → services → (domain, kms, database); domain imports none of the others. */
const rooms = 'app|plugins|routes|schemas|services|domain|kms|local|database';

/**
 * The rooms of src/services, from the ground up: each knows those before it and none of those after it. The files that lie
 * in no folder are the ground, what a process holds and gives to every service, and what starts it all.
 */
const servicesInOrder = {
  ground: ['problems.ts', 'cursors.ts', 'visibility.ts'],
  rows: ['rows/'],
  history: ['history/'],
  access: ['access/'],
  recovery: ['recovery/'],
  process: [
    ...['changes.ts', 'clients.ts', 'context.ts', 'failure-points.ts', 'fleet.ts', 'idempotency.ts', 'metrics.ts'],
    ...['provider-rules.ts', 'pulse.ts', 'tag-trial.ts', 'unmade.ts'],
  ],
  providers: ['providers/'],
  keys: ['keys/'],
  unmanaged: ['unmanaged/'],
  sync: ['sync/'],
  commands: ['commands/'],
  imports: ['imports/'],
  start: ['clock-set-back.ts', 'housekeeping.ts', 'retention.ts', 'start.ts'],
};

const pathsOf = (paths) => paths.map((path) => `^src/services/${path.replace('.', '\\.')}`);

const orderOfServices = Object.entries(servicesInOrder)
  .slice(0, -1)
  .map(([room, paths], index) => ({
    name: `services-${room}-knows-only-what-is-below`,
    severity: 'error',
    from: { path: pathsOf(paths) },
    to: {
      path: pathsOf(
        Object.values(servicesInOrder)
          .slice(index + 1)
          .flat(),
      ),
    },
  }));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Imports of types count too: what two files need of each other is the idea of a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-knot-of-folders',
      severity: 'error',
      scope: 'folder',
      from: {},
      to: { circular: true },
    },
    {
      name: 'domain-is-pure',
      comment: 'No I/O, no clock, no other room.',
      severity: 'error',
      from: { path: '^src/domain/' },
      to: { pathNot: ['^src/domain/', '^(node:)?(util|zlib)$'] },
    },
    {
      name: 'aws-sdk-only-in-kms-and-local',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(kms|local)/' },
      to: { path: '@aws-sdk/' },
    },
    {
      name: 'prisma-only-in-services-and-database',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(services|database|generated)/' },
      to: { path: ['@prisma/', '^src/generated/'] },
    },
    {
      name: 'routes-call-services',
      severity: 'error',
      from: { path: '^src/routes/' },
      to: { path: '^src/(kms|local|database)/' },
    },
    {
      name: 'services-do-not-know-http',
      severity: 'error',
      from: { path: '^src/services/' },
      to: { path: '^src/(routes|plugins|app)' },
    },
    {
      name: 'kms-knows-only-the-domain',
      severity: 'error',
      from: { path: '^src/kms/' },
      to: { path: `^src/(${rooms})/`, pathNot: '^src/(kms|domain)/' },
    },
    {
      name: 'the-local-kms-stands-alone',
      severity: 'error',
      from: { path: '^src/local/' },
      to: { path: `^src/(${rooms})/`, pathNot: '^src/(local|domain)/' },
    },
    {
      name: 'the-command-line-knows-the-api-alone',
      comment: 'It is a client like any other: what the API does not tell, it does not know.',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: { path: '^src/', pathNot: '^src/(cli|generated)/' },
    },
    {
      name: 'the-service-knows-no-command-line',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^src/cli/' },
    },
    ...orderOfServices,
    {
      name: 'services-have-a-room',
      comment: 'A file of src/services that lies in none of the rooms above has no place in their order.',
      severity: 'error',
      from: { path: '^src/services/', pathNot: pathsOf(Object.values(servicesInOrder).flat()) },
      to: {},
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: {
        orphan: true,
        pathNot: ['\\.d\\.ts$', '^src/(server|migrate|tokens|audit)\\.ts$', '^src/plugins/reference/page\\.js$'],
      },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^src/generated/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
};
