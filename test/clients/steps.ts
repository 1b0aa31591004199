/** What every generated client has to be able to do: each program under test/clients does these, and says so of each. */
export const steps = [
  'says who it is',
  'creates a key, and waits for KMS',
  'reads it',
  'changes it while its ETag is current',
  'is told that an ETag is stale',
  'is told what is wrong with its input, by code and pointer',
  'plans a change and a key',
  'brings a default back with null',
  'lists by state and tag, page by page',
  'schedules a deletion, and takes it back',
  'leaves drift_policy to the provider',
  'looks at a provider',
  'reads the history',
  'bears fields and values that come later',
];
