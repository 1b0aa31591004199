#!/usr/bin/env node
/**
 * The little of curl that the documentation uses, for machines without it: -s, -X, -H, -d, --user, and --aws-sigv4, for
 * which it only names who asks, as the local KMS believes every signature.
 */
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    silent: { type: 'boolean', short: 's' },
    request: { type: 'string', short: 'X' },
    header: { type: 'string', short: 'H', multiple: true },
    data: { type: 'string', short: 'd' },
    user: { type: 'string', short: 'u' },
    'aws-sigv4': { type: 'string' },
  },
});
const headers = new Headers((values.header ?? []).map((header) => header.split(/:\s*/, 2) as [string, string]));
const [, , region, service] = values['aws-sigv4']?.split(':') ?? [];
if (region !== undefined) {
  const now = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const scope = `${values.user?.split(':')[0]}/${now.slice(0, 8)}/${region}/${service}/aws4_request`;
  headers.set('x-amz-date', now);
  headers.set('authorization', `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host;x-amz-date, Signature=0`);
}
const method = values.request ?? (values.data === undefined ? 'GET' : 'POST');
const body = values.data === undefined ? {} : { body: values.data };
const answer = await fetch(positionals[0] ?? '', { method, headers, ...body });
process.stdout.write(await answer.text());
