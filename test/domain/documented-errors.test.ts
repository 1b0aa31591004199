import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import fc from 'fast-check';
import { test } from 'tap';
import { documentedErrors, isDocumentedRefusal } from '../../src/domain/documented-errors.ts';
import { toKmsFailure } from '../../src/kms/errors.ts';

/** KMS's own faults, and the base of all errors: they prove nothing. */
const faults = ['KMSInternalException', 'DependencyTimeoutException', 'KeyUnavailableException', 'KMSServiceException'];

/** The errors that the SDK's model has for an operation of KMS. */
async function errorsInSdk(operation: string): Promise<string[]> {
  const entry = createRequire(import.meta.url).resolve('@aws-sdk/client-kms');
  const types = path.join(entry.slice(0, entry.lastIndexOf('/dist-')), 'dist-types', 'commands');
  const text = await readFile(path.join(types, `${operation}Command.d.ts`), 'utf8');
  const named = [...text.matchAll(/@throws \{@link (\w+)\}/g)].map(([, name = '']) => name);
  return named.filter((name) => !faults.includes(name)).sort();
}

test('the table of errors is that of the API, for every operation of KMS that is called', async (t) => {
  const folder = path.join(import.meta.dirname, '../../src/kms');
  const called = new Set<string>();
  for (const file of await readdir(folder)) {
    const text = await readFile(path.join(folder, file), 'utf8');
    for (const [, name = ''] of text.matchAll(/new (\w+)Command\(/g)) called.add(name);
  }
  t.same(
    [...called].filter((operation) => !(operation in documentedErrors)),
    [],
  );
  const elsewhere = ['GetResources', 'GetCallerIdentity'];
  for (const [operation, errors] of Object.entries(documentedErrors)) {
    if (elsewhere.includes(operation)) continue;
    t.same([...errors].sort(), await errorsInSdk(operation), operation);
  }
});

test('only an error that AWS documents for the operation proves that nothing was done', (t) => {
  const code = fc.oneof(
    fc.constantFrom(...Object.values(documentedErrors).flat(), ...faults),
    fc.constantFrom('AccessDeniedException', 'Throttling', 'Forbidden', 'TooManyRequestsException', 'RequestTimeout'),
    fc.string(),
  );
  const operation = fc.constantFrom(...Object.keys(documentedErrors));
  fc.assert(
    fc.property(operation, code, fc.integer({ min: 200, max: 599 }), (operation, name, httpStatusCode) => {
      const error = Object.assign(new Error('No.'), { name, $metadata: { httpStatusCode } });
      const { kind, certainlyNotDone } = toKmsFailure(error, operation);
      if (!certainlyNotDone) return kind === 'fault';
      if (kind === 'unsupported' && httpStatusCode === 501) return true;
      const isLocal = name === 'CredentialsProviderError';
      return isLocal || (httpStatusCode >= 400 && httpStatusCode < 500 && isDocumentedRefusal(operation, name));
    }),
  );
  t.end();
});
