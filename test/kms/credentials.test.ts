import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'tap';
import { Connections } from '../../src/kms/connections.ts';
import { credentialsFor } from '../../src/kms/credentials.ts';
import { toKmsFailure } from '../../src/kms/errors.ts';
import { temporaryFolder } from '../support/process.ts';

test('that STS refuses the credentials of the service itself is no word of KMS on a change', async (t) => {
  const sts = createServer((_request, response) => {
    response.writeHead(400, { 'content-type': 'text/xml' });
    response.end(
      '<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>No provider.</Message></Error></ErrorResponse>',
    );
  });
  await new Promise<void>((resolve) => sts.listen(0, '127.0.0.1', resolve));
  t.teardown(() => sts.close());
  const url = `http://127.0.0.1:${(sts.address() as AddressInfo).port}`;
  const folder = await temporaryFolder(t);
  const tokenFile = path.join(folder, 'token');
  await writeFile(tokenFile, 'a.b.c');
  // As in a Kubernetes pod with a role of its own.
  const environment = {
    AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile,
    AWS_ROLE_ARN: 'arn:aws:iam::111122223333:role/keyward-service',
    AWS_ENDPOINT_URL_STS: url,
    AWS_REGION: 'us-east-1',
    AWS_CONFIG_FILE: path.join(folder, 'none'),
    AWS_SHARED_CREDENTIALS_FILE: path.join(folder, 'none'),
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ACCESS_KEY_ID: undefined,
    AWS_SECRET_ACCESS_KEY: undefined,
  };
  t.intercept(process, 'env', { value: { ...process.env, ...environment } });
  for (const endpoint of [null, 'http://127.0.0.1:1']) {
    const connections = new Connections({ takesLoopback: false });
    const provide = credentialsFor({ endpoint, region: 'us-east-1', assumeRole: null, connections });
    const error: unknown = await provide().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    const failure = toKmsFailure(error, 'DescribeKey');
    t.match(failure, { kind: 'credentials', code: 'CredentialsProviderError' });
    t.match(failure.message, /No provider\./);
  }
});
