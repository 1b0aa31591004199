/** The import rules of the house: routes → services → (domain, kms, database); domain imports none of the others. */
const rooms = 'app|plugins|routes|schemas|services|domain|kms|local|database';

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
      name: 'domain-is-pure',
      comment: 'No I/O, no clock, no other room.',
      severity: 'error',
      from: { path: '^src/domain/' },
      to: { pathNot: ['^src/domain/', '^node:util$', '^util$'] },
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
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: ['\\.d\\.ts$', '^src/(server|migrate)\\.ts$'] },
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
