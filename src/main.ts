/** Start-up and graceful stop. */
import { flushCompileCache } from 'node:module';
import { pino, stdSerializers } from 'pino';
import { ConfigError, readConfig } from './config.ts';
import { withoutCredentials } from './domain/credentials.ts';
import { giveMemoryBack } from './idle-memory.ts';
import { stopWithNpm } from './orphan.ts';

/** Milliseconds after which a stop that hangs is cut short. */
const longestStop = 25_000;

/** Of what is logged nothing should have any of these. */
const secretPaths = ['authorization', 'token', 'external_id', 'connectionString', 'policy'].flatMap((name) => [
  name,
  `*.${name}`,
  `*.*.${name}`,
]);

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const log = pino(
    {
      level: config.LOG_LEVEL,
      serializers: { err: shortError },
      redact: secretPaths,
      hooks: { streamWrite: withoutCredentials },
    },
    pino.destination({ dest: 2, sync: true }),
  );
  const stopRequest = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, resolve);
  });
  stopWithNpm();
  // Most of the start-up is to load these: a bad variable is told before.
  const [{ startServices }, { buildApp }] = await Promise.all([import('./services/start.ts'), import('./app.ts')]);
  const started = await startServices(config, log);
  const app = await buildApp({ services: started.services, logger: log, role: config.ROLE });
  const url = await app.listen({ host: config.HOST, port: config.PORT }).catch(async (error: Error) => {
    await started.close();
    throw error;
  });
  const localKms = started.localKmsUrl === null ? '' : `; local KMS (for laptops and tests): ${started.localKmsUrl}`;
  process.stdout.write(`Keyward serves on ${url}; documentation: ${url}/docs${localKms}\n`);
  // Else it is written at the end, which a process that is killed does not come to.
  flushCompileCache();
  giveMemoryBack();

  const signal = await stopRequest;
  log.info({ signal }, 'stopping');
  setTimeout(() => {
    log.error('the stop took too long and is cut short');
    process.exit(1);
  }, longestStop).unref();
  // At once: the requests under way wait for the keys in hand, and connections end with their last answer.
  await Promise.all([started.stopWork(), app.close()]);
  await started.close();
}

/** The errors of `pg` have their whole connection in them. */
function shortError(error: Error) {
  const { type, message, stack, code } = stdSerializers.err(error);
  return { type, message, code, stack };
}

try {
  await main();
  process.exit(0);
} catch (error) {
  const reason = error instanceof ConfigError || process.env['LOG_LEVEL'] !== 'debug' ? String(error) : error;
  process.stderr.write(`Keyward does not start: ${reason instanceof Error ? reason.stack : reason}\n`);
  process.exit(1);
}
