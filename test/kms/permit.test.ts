import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'tap';
import { createKey } from '../../src/kms/apply.ts';
import { openKms } from '../../src/kms/client.ts';
import { KmsFailure } from '../../src/kms/errors.ts';
import { NotSent, writeTimes } from '../../src/kms/permit.ts';
import { Limiter } from '../../src/kms/quotas.ts';

const step = {
  operation: 'CreateKey',
  field: null,
  parameters: {
    Description: '',
    KeyUsage: 'ENCRYPT_DECRYPT',
    KeySpec: 'SYMMETRIC_DEFAULT',
    Origin: 'AWS_KMS',
    MultiRegion: false,
    BypassPolicyLockoutSafetyCheck: false,
    Tags: {},
  },
} as const;

function signedAt(header: string | string[] | undefined): number {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(header)) ?? [];
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

test('a write goes out with leave only, and AWS refuses it soon after', async (t) => {
  const dates: number[] = [];
  // Its clock is an hour fast: the SDK learns that from the Date header.
  const skew = 3_600_000;
  const server = createServer((request, response) => {
    dates.push(signedAt(request.headers['x-amz-date']));
    response
      .writeHead(400, { date: new Date(Date.now() + skew).toUTCString() })
      .end('{"__type":"ThrottlingException"}');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  const endpoint = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  const times = writeTimes(30_000);
  const quotas = new Limiter(1).open('test', 'none');
  const target = { endpoint, region: 'us-east-1', assumeRole: null, endpointName: 'test', quotas };
  const kms = openKms({ ...target, times, expiringWrites: true, onCall: () => {} });
  t.teardown(() => kms.close());

  for (let count = 0; count < 2; count += 1) {
    const throttled = await createKey(kms, step, { beforeSend: async () => {} }).catch((error: unknown) => error);
    t.match(throttled, { kind: 'throttled' });
  }
  const expiry = (date: number) => date + 300_000 - Date.now();
  t.ok(expiry(dates[0] ?? 0) <= times.signatureLife, 'SigV4 requests are refused at an age of five minutes');
  t.ok(expiry(dates[0] ?? 0) > 0);
  t.ok(expiry(dates[1] ?? 0) - skew <= times.signatureLife, "by AWS's clock, once an answer has told of it");
  t.ok(expiry(dates[1] ?? 0) - skew > 0);

  const late = createKey(kms, step, {
    beforeSend: async () => {
      throw new NotSent('Too late.');
    },
  });
  const failure = await late.catch((error: unknown) => error);
  t.ok(failure instanceof KmsFailure && failure.certainlyNotDone);
  t.match(failure, { kind: 'fault', code: 'NotSent', operation: 'CreateKey' });
  t.equal(dates.length, 2, 'nothing was sent');
  t.ok(
    times.sendWithin + times.signatureLife < times.landsWithin,
    'all of that is over when the write counts as landed',
  );
  t.ok(times.sendWithin + times.requestTimeout < times.landsWithin);
});
