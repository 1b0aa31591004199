/** Serves the local KMS by itself: `npm run local-kms -- --port 8080 --host 127.0.0.1 --data DIR`. */
import { parseArgs } from 'node:util';
import { stopWithNpm } from '../../orphan.ts';
import { startLocalKms } from './index.ts';

const usage =
  'Usage: npm run local-kms -- [--port 8080] [--host 127.0.0.1] [--data .data/kms] [--latency MILLISECONDS] [--quotas] [--stale-reads SECONDS]';

function readArguments() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8080' },
      host: { type: 'string', default: '127.0.0.1' },
      data: { type: 'string', default: '.data/kms' },
      latency: { type: 'string', default: '0' },
      quotas: { type: 'boolean', default: false },
      'stale-reads': { type: 'string', default: '0' },
    },
  });
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port > 65_535) throw new Error(`--port: ${values.port} is not a port, 0 to 65535`);
  const settings = {
    latency_milliseconds: amount('--latency', values.latency),
    quotas: values.quotas,
    stale_reads_seconds: amount('--stale-reads', values['stale-reads']),
  };
  return { port, host: values.host, dataDir: values.data, settings };
}

function amount(flag: string, text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new Error(`${flag}: ${text} is not a number, 0 or more`);
  return Number(text);
}

try {
  const options = readArguments();
  const kms = await startLocalKms(options).catch((error: Error) => {
    process.stderr.write(`The local KMS does not start: ${error.message}\n`);
    process.exit(1);
  });
  process.stdout.write(`Local KMS on ${kms.url}, keys in ${options.dataDir}. For laptops and tests only.\n`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => kms.close().then(() => process.exit(0)));
  }
  stopWithNpm();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n${usage}\n`);
  process.exit(2);
}
