import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'tap';
import { readConfig } from '../../src/config.ts';
import { hostFault, isForbiddenAddress } from '../../src/domain/endpoint-rules.ts';
import { guardedAgents } from '../../src/kms/guard.ts';
import { sweepUnmanagedKeys } from '../../src/services/unmanaged/sweep.ts';
import type { Owner } from '../support/postgres.ts';
import { type Problem, startService } from '../support/service.ts';

const rules = { configured: null, allowed: null, takesLoopback: false };

async function listening(t: Owner, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test('by default signed requests go to KMS of AWS, and to no host that AWS rents to anybody', async (t) => {
  for (const host of [
    'kms.eu-west-1.amazonaws.com',
    'kms-fips.us-gov-west-1.amazonaws.com',
    'kms.cn-north-1.amazonaws.com.cn',
    'kms.eu-west-1.api.aws',
    'vpce-0a1b-2c3d.kms.eu-west-1.vpce.amazonaws.com',
  ]) {
    t.equal(hostFault(`https://${host}`, rules), null, host);
  }
  for (const host of [
    'kms.eu-west-1.amazonaws.com.evil.example',
    'evil-kms.eu-west-1.amazonaws.com',
    ...['kms.s3.eu-west-1.amazonaws.com', 'kms.s3.amazonaws.com', 'kms.s3-eu-west-1.amazonaws.com'],
    'abc123.execute-api.eu-west-1.amazonaws.com',
    'ec2-1-2-3-4.eu-west-1.compute.amazonaws.com',
    'amazonaws.com',
    'kms.internal',
    'localhost:8080',
    '127.0.0.1',
    '10.0.0.1',
  ]) {
    t.type(hostFault(`https://${host}`, rules), 'string', host);
  }
  t.match(hostFault('http://kms.eu-west-1.amazonaws.com', rules), 'by http', 'nor in the open');
  t.same(readConfig({ ALLOWED_KMS_ENDPOINTS: 'http://moto:5000,*.kms.internal' }).ALLOWED_KMS_ENDPOINTS?.length, 2);
});

test('patterns name hosts, label by label; the configured host is always one of them', async (t) => {
  const own = {
    ...rules,
    configured: 'http://kms:8080',
    allowed: ['*.kms.internal', 'http://moto:5000', '127.0.0.1:7000'],
  };
  for (const url of [
    ...['https://a.kms.internal', 'https://a.kms.internal:444', 'http://moto:5000', 'http://kms:8080'],
    'http://127.0.0.1:7000',
  ]) {
    t.equal(hostFault(url, own), null, url);
  }
  for (const url of [
    ...['https://kms.internal', 'https://a.b.kms.internal', 'https://a.kms.internal.evil', 'http://moto', 'http://kms'],
    ...['http://a.kms.internal', 'https://moto:5000'],
    ...['https://xkms-internal', 'https://kms.eu-west-1.amazonaws.com', 'http://127.0.0.1:5000'],
  ]) {
    t.type(hostFault(url, own), 'string', url);
  }
  t.type(hostFault('http://169.254.169.254', { ...rules, allowed: ['*.*.*.*', '169.254.169.254'] }), 'string');
});

test('an address of a metadata service is one, however it is written', async (t) => {
  const written = [
    ...[
      '169.254.169.254',
      '0251.0376.0251.0376',
      '2852039166',
      '0xa9fea9fe',
      '169.254.43518',
      '169.254.170.2',
      '0.0.0.0',
    ],
    ...['[::ffff:169.254.169.254]', '[::ffff:a9fe:a9fe]', '[64:ff9b::169.254.169.254]', '[::169.254.169.254]'],
    ...[
      '[2002:a9fe:a9fe::1]',
      '[fe80::1]',
      '[fd00:ec2::254]',
      '[fd20:ce::254]',
      '[::]',
      ...['100.100.100.200', '168.63.129.16', '192.0.0.192', '[64:ff9b:1::a9fe:a9fe]', '[::ffff:168.63.129.16]'],
      '239.1.1.1',
    ],
  ];
  for (const host of written) {
    t.match(hostFault(`http://${host}/`, { ...rules, takesLoopback: true, allowed: ['*'] }), 'no KMS', host);
  }
  for (const address of ['10.0.0.1', '127.0.0.1', '::1', '52.94.1.1', 'fd12::1', '2600:1f18::1', '::ffff:10.0.0.1']) {
    t.notOk(isForbiddenAddress(address), address);
  }
});

test('a name that leads to a forbidden address is not connected to, whatever it led to before', async (t) => {
  let asked = 0;
  const port = await listening(
    t,
    createServer((_request, response) => {
      asked += 1;
      response.end('here');
    }),
  );
  let addresses = ['127.0.0.1'];
  const agentsOf = (takesLoopback: boolean) =>
    guardedAgents(
      { keepAlive: false },
      {
        takesLoopback,
        resolve: (_host, _options, found) =>
          found(
            null,
            addresses.map((address) => ({ address, family: 4 })),
          ),
      },
    );
  const call = (host: string, takesLoopback: boolean) =>
    new Promise<string>((resolve) => {
      const agent = agentsOf(takesLoopback).httpAgent;
      const headers = { authorization: 'AWS4-HMAC-SHA256 Credential=x' };
      request({ host, port, agent, headers }, (response) => resolve(String(response.statusCode)))
        .on('error', (error) => resolve(error.message))
        .end();
    });
  t.equal(await call('kms.example', true), '200');
  t.match(
    await call('kms.example', false),
    /kms\.example leads to 127\.0\.0\.1/,
    'a name of elsewhere for this machine',
  );
  for (const address of ['169.254.169.254', '0.0.0.0', '::ffff:a9fe:a9fe']) {
    addresses = ['127.0.0.1', address];
    t.match(await call('kms.example', true), /where no KMS is: nothing was sent/, address);
    t.match(await call(address, true), /where no KMS is: nothing was sent/, `${address} by itself`);
  }
  t.equal(asked, 1);
});

test('providers', async (t) => {
  const { call, services } = await startService(t);
  const refused = async (endpoint: string) => {
    const answers = [
      await call<Problem>('POST', '/v1/providers', { name: 'away', region: 'us-east-1', endpoint }),
      await call<Problem>('PATCH', '/v1/providers/default', { endpoint }),
    ];
    for (const answer of answers)
      t.match(answer, { status: 422, body: { errors: [{ pointer: '/endpoint' }] } }, endpoint);
  };

  t.test('an endpoint outside of the allowed ones is refused, and nothing is recorded', async () => {
    for (const endpoint of [
      'http://169.254.169.254',
      'http://2852039166/',
      'https://kms.evil.example',
      'http://10.0.0.1',
    ]) {
      await refused(endpoint);
    }
    t.equal((await call('GET', '/v1/providers/away')).status, 404);
  });

  t.test('one that is on record from before is not called', async (t) => {
    await call('POST', '/v1/providers', { name: 'old', region: 'us-east-1', endpoint: 'http://127.0.0.1:9' });
    await services.database.pool.query("UPDATE providers SET endpoint = 'http://169.254.169.254' WHERE name = 'old'");
    const { body } = await call<{ error: { code: string } }>('POST', '/v1/providers/old/check');
    t.match(body, { ok: false, error: { code: 'EndpointNotAllowed' } });
    await sweepUnmanagedKeys(services);
    const answer = await call('GET', '/v1/unmanaged-keys?provider=old');
    t.match(answer.body, { items: [], sweeps: [{ error: /169\.254\.169\.254 is an address where no KMS is/ }] });
  });

  t.test('no redirect is followed, so that nothing signed goes further', async (t) => {
    const seen: string[] = [];
    const target = await listening(
      t,
      createServer((request, response) => {
        seen.push(String(request.url));
        response.end('{}');
      }),
    );
    const port = await listening(
      t,
      createServer((_request, response) => {
        response.writeHead(307, { location: `http://127.0.0.1:${target}/latest/meta-data` }).end();
      }),
    );
    await call('POST', '/v1/providers', { name: 'turn', region: 'us-east-1', endpoint: `http://127.0.0.1:${port}` });
    t.match((await call('POST', '/v1/providers/turn/check')).body, { ok: false });
    t.same(seen, []);
  });
});
