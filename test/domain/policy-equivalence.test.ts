import fc from 'fast-check';
import { test } from 'tap';
import * as equivalence from '../../src/domain/policy-equivalence.ts';
import type { Json, PolicyDocument } from '../../src/domain/types.ts';

const policiesEqual = (first: PolicyDocument, second: PolicyDocument) =>
  equivalence.policiesEqual(first, second, 'aws');
const differingStatements = (desired: PolicyDocument, observed: PolicyDocument) =>
  equivalence.differingStatements(desired, observed, 'aws');
const policyDifference = (desired: PolicyDocument, observed: PolicyDocument) =>
  equivalence.policyDifference(desired, observed, 'aws');

type Statement = {
  Sid: string;
  Effect: 'Allow' | 'Deny';
  principals: string[];
  services: string[];
  actions: string[];
  resources: string[];
  conditions: [operator: string, key: string, values: string[]][];
};

const account = fc.constantFrom('111122223333', '444455556666', '777788889999');
const principal = fc.oneof(
  account.map((id) => `arn:aws:iam::${id}:root`),
  fc.tuple(account, fc.constantFrom('admin', 'app', 'audit')).map(([id, name]) => `arn:aws:iam::${id}:role/${name}`),
);
const distinct = <T>(one: fc.Arbitrary<T>, minLength: number, maxLength: number) =>
  fc.uniqueArray(one, { minLength, maxLength });
const statement: fc.Arbitrary<Statement> = fc.record({
  Sid: fc.constantFrom('', 'Admin', 'Use', 'Grant'),
  Effect: fc.constantFrom('Allow', 'Deny'),
  principals: distinct(principal, 1, 3),
  services: distinct(fc.constantFrom('s3.amazonaws.com', 'ec2.amazonaws.com'), 0, 2),
  actions: distinct(fc.constantFrom('kms:Encrypt', 'kms:Decrypt', 'kms:Describe*', 'kms:*'), 1, 3),
  resources: distinct(fc.constantFrom('*', 'arn:aws:kms:us-east-1:111122223333:key/a'), 1, 2),
  conditions: fc.uniqueArray(
    fc.oneof(
      fc.tuple(
        fc.constant('StringEquals'),
        fc.constantFrom('kms:CallerAccount', 'kms:ViaService'),
        distinct(fc.constantFrom('111122223333', 's3.us-east-1.amazonaws.com', 'x'), 1, 3),
      ),
      fc.tuple(fc.constant('Bool'), fc.constant('kms:GrantIsForAWSResource'), distinct(fc.constantFrom('true'), 1, 1)),
      fc.tuple(
        fc.constant('NumericLessThan'),
        fc.constant('aws:MultiFactorAuthAge'),
        distinct(fc.constant('3600'), 1, 1),
      ),
    ),
    { maxLength: 3, selector: ([operator, key]) => `${operator} ${key}` },
  ),
});
const policy = fc.record({
  Id: fc.constantFrom('', 'key-policy'),
  statements: fc.array(statement, { minLength: 1, maxLength: 4 }),
});
type Policy = { Id: string; statements: Statement[] };

/** Choices for one way to write a policy; `flip` consumes them in turn. */
const choices = fc.infiniteStream(fc.nat(1000));

/** Writes the policy in one of the many ways that IAM reads as equal. */
function write({ Id, statements }: Policy, stream: Iterator<number>): PolicyDocument {
  const next = () => stream.next().value as number;
  const flip = () => next() % 2 === 0;
  const shuffle = <T>(items: T[]): T[] =>
    items
      .map((item) => [next(), item] as const)
      .sort(([a], [b]) => a - b)
      .map(([, item]) => item);
  const members = (entries: [string, Json][]) => Object.fromEntries(shuffle(entries));
  const list = (values: Json[]): Json => (values.length === 1 && flip() ? (values[0] ?? null) : shuffle(values));
  const asRoot = (arn: string) => (flip() ? arn.replace(/^arn:aws:iam::(\d{12}):root$/, '$1') : arn);
  const asNative = (value: string): Json =>
    flip() ? value : value === 'true' ? true : /^\d{4}$/.test(value) ? Number(value) : value;
  const writeStatement = (one: Statement): Json => {
    const entries: [string, Json][] = [
      ['Effect', one.Effect],
      [
        'Principal',
        members([
          ['AWS', list(one.principals.map(asRoot))],
          ...(one.services.length > 0 ? ([['Service', list(one.services)]] as [string, Json][]) : []),
        ]),
      ],
      ['Action', list(one.actions.map((action) => (flip() ? action.toLowerCase() : action)))],
      ['Resource', list(one.resources)],
    ];
    if (one.Sid !== '' || flip()) entries.push(['Sid', one.Sid]);
    if (one.conditions.length > 0) entries.push(['Condition', writeConditions(one.conditions)]);
    return members(entries);
  };
  const writeConditions = (conditions: Statement['conditions']): Json => {
    const operators = [...new Set(conditions.map(([operator]) => operator))];
    return members(
      operators.map((operator) => [
        operator,
        members(
          conditions
            .filter(([name]) => name === operator)
            .map(([, key, values]) => [flip() ? key.toUpperCase() : key, list(values.map(asNative))]),
        ),
      ]),
    );
  };
  const written = shuffle(statements).map(writeStatement);
  return members([
    ['Version', '2012-10-17'],
    ...(Id === '' ? [] : ([['Id', Id]] as [string, Json][])),
    ['Statement', written.length === 1 && flip() ? (written[0] ?? null) : written],
  ]);
}

/** Changes one thing that IAM sees. */
const changes: ((one: Statement) => Statement)[] = [
  (one) => ({ ...one, Effect: one.Effect === 'Allow' ? 'Deny' : 'Allow' }),
  (one) => ({ ...one, actions: [...one.actions, 'kms:PutKeyPolicy'] }),
  (one) => ({ ...one, actions: ['kms:CreateGrant', ...one.actions.slice(1)] }),
  (one) => ({ ...one, principals: [...one.principals, 'arn:aws:iam::111122223333:user/mallory'] }),
  (one) => ({ ...one, principals: ['arn:aws:iam::222233334444:root', ...one.principals.slice(1)] }),
  (one) => ({ ...one, services: [...one.services, 'lambda.amazonaws.com'] }),
  (one) => ({ ...one, resources: [...one.resources, 'arn:aws:kms:us-east-1:111122223333:key/b'] }),
  (one) => ({ ...one, conditions: [...one.conditions, ['StringLike', 'aws:PrincipalArn', ['*']]] }),
  (one) => ({ ...one, Sid: 'Other' }),
  ...(['operator', 'key', 'value', 'further value', 'all of it'] as const).map((what) => (one: Statement) => ({
    ...one,
    conditions: changedConditions(one.conditions, what),
  })),
];

function changedConditions(
  [first, ...others]: Statement['conditions'],
  what: 'operator' | 'key' | 'value' | 'further value' | 'all of it',
): Statement['conditions'] {
  if (first === undefined) return [['StringLike', 'aws:PrincipalArn', ['*']]];
  const [operator, key, values] = first;
  switch (what) {
    case 'operator':
      return [[`${operator}IfExists`, key, values], ...others];
    case 'key':
      return [[operator, 'aws:SourceAccount', values], ...others];
    case 'value':
      return [[operator, key, ['other', ...values.slice(1)]], ...others];
    case 'further value':
      return [[operator, key, [...values, 'other']], ...others];
    case 'all of it':
      return others;
  }
}

test('10,000 pairs: what IAM reads as equal is equal', async () => {
  fc.assert(
    fc.property(policy, choices, choices, (one, first, second) => policiesEqual(write(one, first), write(one, second))),
    { numRuns: 10_000 },
  );
});

test('10,000 pairs: one changed action, principal, resource, condition or effect is never equal', async () => {
  fc.assert(
    fc.property(
      policy,
      fc.nat(),
      fc.nat(changes.length - 1),
      choices,
      choices,
      (one, position, kind, first, second) => {
        const index = position % one.statements.length;
        const changed = one.statements.map((item, at) => (at === index ? (changes[kind]?.(item) ?? item) : item));
        const [before, after] = [write(one, first), write({ ...one, statements: changed }, second)];
        const { desired, observed } = differingStatements(before, after);
        return !policiesEqual(before, after) && desired.length === 1 && observed.length === 1;
      },
    ),
    { numRuns: 10_000 },
  );
});

test('pairs of one kind each', async (t) => {
  const base = { Effect: 'Allow', Principal: { AWS: '*' }, Action: 'kms:*', Resource: '*' };
  const of = (...Statement: Json[]): PolicyDocument => ({ Version: '2012-10-17', Statement });
  const equal: [PolicyDocument, PolicyDocument][] = [
    [of({ ...base, Principal: '*' }), of(base)],
    [of(base), { Version: '2012-10-17', Statement: base }],
    [of({ ...base, Sid: '' }), of(base)],
    [
      of({ ...base, Principal: { AWS: ['111122223333', 'arn:aws:iam::111122223333:root'] } }),
      of({ ...base, Principal: { AWS: '111122223333' } }),
    ],
    [{ Statement: [base] }, { Version: '2008-10-17', Statement: [base] }],
  ];
  for (const [first, second] of equal) t.ok(policiesEqual(first, second), JSON.stringify([first, second]));
  const different: [PolicyDocument, PolicyDocument][] = [
    [of(base), of(base, base)],
    [of(base), of()],
    [of(base), { Version: '2008-10-17', Statement: [base] }],
    [of(base), { ...of(base), Id: 'x' }],
    [of({ ...base, Resource: 'A' }), of({ ...base, Resource: 'a' })],
    [
      of({ ...base, Principal: { AWS: '111122223333' } }),
      of({ ...base, NotPrincipal: { AWS: '111122223333' }, Principal: {} }),
    ],
    [of({ ...base, Action: 'kms:*' }), of({ ...base, NotAction: 'kms:*', Action: [] })],
    [of({ ...base, Condition: { Bool: { a: 'true' } } }), of({ ...base, Condition: { BoolIfExists: { a: 'true' } } })],
    [
      of({ ...base, Principal: { AWS: 'AIDACKCEVSQ6C2EXAMPLE' } }),
      of({ ...base, Principal: { AWS: 'arn:aws:iam::111122223333:user/bob' } }),
    ],
  ];
  for (const [first, second] of different) t.notOk(policiesEqual(first, second), JSON.stringify([first, second]));
});

test('what differs beside the statements is told where no statement does', async (t) => {
  const [one, two] = [{ Sid: 'One' }, { Sid: 'Two' }];
  t.same(policyDifference({ Version: '2012-10-17', Statement: one }, { Version: '2008-10-17', Statement: [one] }), {
    desired: { Version: '2012-10-17' },
    observed: { Version: '2008-10-17' },
  });
  t.same(policyDifference({ Statement: one }, { Id: 'x', Statement: one }), {
    desired: { Id: null },
    observed: { Id: 'x' },
  });
  t.same(policyDifference({ Id: 'x', Statement: [one, two] }, { Statement: two }), { desired: [one], observed: [] });
});

test("an account id is the root of the key's own partition, and of no other", async (t) => {
  const of = (AWS: string) => ({ Statement: { Effect: 'Allow', Principal: { AWS }, Action: 'kms:*', Resource: '*' } });
  const id = of('111122223333');
  for (const partition of ['aws', 'aws-cn', 'aws-us-gov', 'aws-eusc']) {
    const root = of(`arn:${partition}:iam::111122223333:root`);
    t.ok(equivalence.policiesEqual(id, root, partition), partition);
    t.notOk(equivalence.policiesEqual(id, root, 'aws-iso'), partition);
    t.notOk(equivalence.policiesEqual(of('arn:aws-iso:iam::111122223333:root'), root, partition), partition);
  }
});
