import { readFile } from 'node:fs/promises';
import { UpdateKeyDescriptionCommand } from '@aws-sdk/client-kms';
import { test } from 'tap';
import { eventually, startService } from '../support/service.ts';

test('GET /metrics', async (t) => {
  const { call, kms } = await startService(t);
  const { body: key } = await call('POST', '/v1/keys', { drift_policy: 'report' });
  await call('GET', '/v1/keys/no-such-key');
  await kms.send(new UpdateKeyDescriptionCommand({ KeyId: key.key_id ?? '', Description: 'outside' }));
  await call('POST', `/v1/keys/${key.id}/refresh`);
  const { status, headers, body: text } = await call<string>('GET', '/metrics');
  t.equal(status, 200);
  t.match(headers.get('content-type'), 'text/plain');
  const lines = text.split('\n');
  const value = (series: string) =>
    Number(
      lines
        .find((line) => line.startsWith(`${series} `))
        ?.split(' ')
        .at(-1),
    );
  t.equal(value('keyward_http_request_duration_seconds_count{method="POST",route="/v1/keys",status="201"}'), 1);
  t.equal(value('keyward_http_request_duration_seconds_count{method="GET",route="/v1/keys/:id",status="404"}'), 1);
  t.equal(value('keyward_keys{provider="default",state="drifted"}'), 1);
  t.equal(value('keyward_drift{provider="default",field="description"}'), 1);
  t.equal(value('keyward_kms_calls_total{operation="CreateKey",outcome="ok"}'), 1);
  t.ok(value('keyward_kms_calls_total{operation="DescribeKey",outcome="ok"}') >= 1);
  t.ok(value('keyward_sync_duration_seconds_count{outcome="done"}') >= 2);
  t.ok(value('process_resident_memory_bytes') > 0);

  t.test('docs/metrics.md has all of them', async (t) => {
    const page = await readFile('docs/metrics.md', 'utf8');
    const described = [...page.matchAll(/^\| `(keyward_\w+)`/gm)].map(([, name]) => name);
    const served = [...text.matchAll(/^# TYPE (keyward_\w+)/gm)].map(([, name]) => name);
    t.same(described.sort(), served.sort());
  });

  t.test('a failed call counts by its kind', async (t) => {
    await call('POST', '/v1/keys/import', { key_id: '00000000-0000-4000-8000-000000000000' });
    const counted = await eventually('it is counted', async () => {
      const { body } = await call<string>('GET', '/metrics');
      return /keyward_kms_calls_total\{operation="DescribeKey",outcome="not_found"\} 1/.exec(body)?.[0];
    });
    t.ok(counted);
  });
});
