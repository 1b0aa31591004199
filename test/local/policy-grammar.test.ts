import { CreateKeyCommand, GetKeyPolicyCommand, PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { account, refuses, startKms } from '../support/local-kms.ts';

const root = { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: 'kms:*', Resource: '*' };
const deny = { ...root, Effect: 'Deny', Action: 'kms:Decrypt', Principal: { AWS: `arn:aws:iam::${account}:role/x` } };
const policyOf = (...statements: object[]) => JSON.stringify({ Version: '2012-10-17', Statement: statements });
const without = (element: string, more: object = {}) => ({
  ...Object.fromEntries(Object.entries(deny).filter(([name]) => name !== element)),
  ...more,
});
const when = (Condition: object) => ({ ...deny, Condition });
const principals = 'Policy contains a statement with one or more invalid principals.';

/**
 * Statements that a key policy can't have beside one that can, and where AWS says so. That a policy is refused with
 * MalformedPolicyDocumentException is documented of all; the words only of those about principals and condition keys.
 */
const refused: Record<string, object[]> = {
  'KMS developer guide: Effect is Allow or Deny': [without('Effect'), { ...deny, Effect: 'deny' }],
  'KMS developer guide: in a key policy, the value of Resource is "*"; notice of August 2025: nothing else is accepted':
    [
      without('Resource'),
      { ...deny, Resource: '' },
      { ...deny, Resource: [] },
      { ...deny, Resource: ['*', 'arn:aws:s3:::bucket'] },
      { ...deny, Resource: `arn:aws:kms:us-east-1:${account}:key/*` },
      { ...deny, Resource: 'arn:aws:dynamodb:*' },
      { ...deny, Resource: 1 },
      without('Resource', { NotResource: 'arn:aws:s3:::bucket' }),
      { ...deny, NotResource: '*' },
    ],
  'notice of August 2025: a valid Action or NotAction is needed': [
    without('Action'),
    { ...deny, Action: [] },
    without('Action', { NotAction: [] }),
    { ...deny, Action: '' },
    { ...deny, Action: 7 },
  ],
  'IAM grammar: Action or NotAction, not both': [{ ...deny, NotAction: 'kms:Encrypt' }],
  'IAM grammar: an action has the prefix of its service': [
    { ...deny, Action: 'Decrypt' },
    { ...deny, Action: ['kms:Encrypt', 'Decrypt'] },
    { ...deny, Action: 'kms:' },
    { ...deny, Action: '*:Decrypt' },
    { ...deny, Action: 'kms:Decrypt Encrypt' },
    without('Action', { NotAction: 'Decrypt' }),
  ],
  'KMS API reference: each statement must contain one or more principals': [
    without('Principal'),
    { ...deny, Principal: {} },
    { ...deny, Principal: { AWS: [] } },
    { ...deny, Principal: [] },
    { ...deny, Principal: { Service: [] } },
  ],
  'IAM grammar: a principal is "*" or an object of known kinds with texts': [
    { ...deny, Principal: `arn:aws:iam::${account}:root` },
    { ...deny, Principal: account },
    { ...deny, Principal: ['*'] },
    { ...deny, Principal: { User: 'x' } },
    { ...deny, Principal: { AWS: 111122223333 } },
    { ...deny, Principal: { AWS: { Ref: 'x' } } },
  ],
  'IAM grammar: Principal or NotPrincipal, not both': [{ ...deny, NotPrincipal: { AWS: account } }],
  'IAM user guide: NotPrincipal must be used with Deny': [
    without('Principal', { NotPrincipal: { AWS: account }, Effect: 'Allow' }),
  ],
  'IAM user guide, condition operators; validation checks: "Invalid condition operator" and "Null with if exists"': [
    when({ stringequals: { 'kms:ViaService': 'x' } }),
    when({ StringEqual: { 'kms:ViaService': 'x' } }),
    when({ 'forAnyValue:StringLike': { 'aws:TagKeys': 'x' } }),
    when({ 'ForAnyValue:stringLike': { 'aws:TagKeys': 'x' } }),
    when({ StringEqualsifexists: { 'kms:ViaService': 'x' } }),
    when({ NullIfExists: { 'kms:ViaService': 'true' } }),
    when({ 'kms:ViaService': 'x' }),
  ],
  'IAM grammar: a condition is an object of operators, each with keys, each with texts, numbers or booleans': [
    { ...deny, Condition: [] },
    { ...deny, Condition: 'x' },
    when({ StringEquals: 'x' }),
    when({ StringEquals: { 'kms:ViaService': { a: 1 } } }),
    when({ StringEquals: { 'kms:ViaService': null } }),
  ],
  'IAM grammar: no other element; validation check "Invalid policy element"': [
    { ...deny, effect: 'Deny' },
    { ...deny, Sid: 5 },
  ],
};

test('a key policy that AWS refuses is refused', async (t) => {
  const { kms, client, create } = await startKms(t);
  const { KeyId } = await create();
  const put = (Policy: string) => kms.send(new PutKeyPolicyCommand({ KeyId, Policy }));
  const malformed = 'MalformedPolicyDocumentException';
  for (const [source, statements] of Object.entries(refused)) {
    t.test(source, async (t) => {
      for (const statement of statements) await refuses(t, put(policyOf(root, statement)), malformed);
      const [first = {}] = statements;
      await refuses(t, kms.send(new CreateKeyCommand({ Policy: policyOf(root, first) })), malformed);
    });
  }

  t.test('IAM user guide, "Principal": a wildcard is no part of a name; services have their own form', async (t) => {
    for (const Principal of [
      { AWS: `arn:aws:iam::${account}:role/*` },
      { AWS: `arn:aws:iam::${account}:user/app-?` },
      { AWS: 'arn:aws:iam::*:root' },
      { AWS: `arn:aws:iam::${account}:group/admins` },
      { AWS: '11112222333' },
      { Service: 'logs' },
      { Service: '*' },
    ]) {
      await refuses(t, put(policyOf(root, { ...deny, Principal })), malformed, principals);
    }
  });

  t.test('IAM user guide, partitions: a principal is of the partition of the Region', async (t) => {
    for (const AWS of [`arn:aws-cn:iam::${account}:root`, `arn:aws-us-gov:iam::${account}:role/x`]) {
      await refuses(t, put(policyOf(root, { ...deny, Principal: { AWS } })), malformed, principals);
    }
    const inChina = client(account, 'cn-north-1');
    const ofChina = { ...root, Principal: { AWS: `arn:aws-cn:iam::${account}:root` } };
    await t.resolves(inChina.send(new CreateKeyCommand({ Policy: policyOf(ofChina) })));
    await refuses(t, inChina.send(new CreateKeyCommand({ Policy: policyOf(root, ofChina) })), malformed, principals);
  });

  t.test('validation check "Unique Sids required"; re:Post says the same of key policies', async (t) => {
    await refuses(t, put(policyOf({ ...root, Sid: 'a' }, { ...deny, Sid: 'a' })), malformed);
    await t.resolves(put(policyOf({ ...root, Sid: '' }, { ...deny, Sid: '' })));
  });

  t.test('KMS API reference: characters up to Latin-1, and of control characters tab and line ends', async (t) => {
    const message =
      /at 'policy' failed to satisfy constraint: Member must satisfy regular expression pattern: \[\\u0009\\u000A\\u000D\\u0020-\\u00FF\]\+$/;
    const refusal = { name: 'ValidationException', message };
    const texts = ['中', 'ł', '😀', '\u2028'].map((Sid) => policyOf({ ...root, Sid }));
    for (const Policy of [...texts, `\u0000${policyOf(root)}`]) {
      await t.rejects(put(Policy), refusal, 'PutKeyPolicy');
      await t.rejects(kms.send(new CreateKeyCommand({ Policy })), refusal, 'CreateKey');
    }
    await t.resolves(put(`\t\r\n${policyOf({ ...root, Sid: 'Schlüssel für Übung ÿ' })}`));
    // What AWS says to characters that JSON's escapes hide is not documented: here they pass, and come back escaped.
    await put(policyOf({ ...root, Sid: 'x' }).replace('"x"', '"\\u4e2d"'));
    const { Policy = '' } = await kms.send(new GetKeyPolicyCommand({ KeyId }));
    t.match(Policy, '\\u4e2d');
    await t.resolves(put(Policy), 'and can be put again');
  });
});

test('a key policy that AWS takes is taken', async (t) => {
  const { kms, create } = await startKms(t);
  const { KeyId } = await create();
  const take = (Policy: string, name?: string) =>
    t.resolves(kms.send(new PutKeyPolicyCommand({ KeyId, Policy })), name ?? Policy);
  for (const statement of [
    { ...deny, Resource: ['*'] },
    { ...deny, Action: '*' },
    { ...deny, Action: ['kms:Decrypt', 'KMS:*', 'kms:Generate?ata*'] },
    // That KMS refuses actions of other services is not documented.
    { ...deny, Action: 's3:GetObject' },
    without('Action', { NotAction: ['kms:Encrypt'] }),
    without('Principal', { NotPrincipal: { AWS: account } }),
    { ...deny, Principal: '*' },
    { ...deny, Principal: { AWS: '*' } },
    { ...deny, Principal: { AWS: [account, `arn:aws:sts::${account}:assumed-role/app/session`] } },
    { ...deny, Principal: { Service: ['logs.eu-west-1.amazonaws.com', 's3.amazonaws.com'], AWS: account } },
    { ...deny, Sid: 'Sids of key policies have spaces' },
    when({ StringEqualsIfExists: { 'kms:ViaService': 's3.us-east-1.amazonaws.com' } }),
    when({ 'ForAllValues:StringNotEqualsIgnoreCase': { 'kms:GrantOperations': ['Decrypt', 'Encrypt'] } }),
    when({ Bool: { 'kms:GrantIsForAWSResource': true }, NumericLessThanEquals: { 'aws:MultiFactorAuthAge': 300 } }),
    when({ Null: { 'kms:EncryptionContext:x': 'true' }, NotIpAddress: { 'aws:SourceIp': ['10.0.0.0/8'] } }),
    when({ DateGreaterThan: { 'aws:CurrentTime': '2030-01-01T00:00:00Z' }, ArnLike: { 'aws:SourceArn': 'arn:*' } }),
    // AWS's validation only advises against these: "Empty array condition" and "Empty object condition".
    when({ StringEquals: { 'kms:ViaService': [] } }),
    when({}),
  ]) {
    await take(policyOf(root, statement));
  }
  await take(JSON.stringify({ Id: 'x', Statement: root }), 'one statement that is no list, and the version by default');
});
