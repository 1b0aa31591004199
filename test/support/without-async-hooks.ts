/**
 * tap follows each promise with an async hook, to tell to which test an error belongs that nobody has caught. To do so
 * cost a tenth of all that the tests do, in hooks and in garbage. Nothing else here has such hooks: Node's
 * AsyncLocalStorage does without them. An error that nobody has caught fails the process's own test instead, by name.
 */
import asyncHooks, { type AsyncHook } from 'node:async_hooks';
import { writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { inspect } from 'node:util';

const inert: AsyncHook = { enable: () => inert, disable: () => inert };
asyncHooks.createHook = () => inert;
syncBuiltinESMExports();

// Types are stripped in place: the maps of what is under node_modules help nobody here, and each is read when its module is loaded.
process.setSourceMapsEnabled(false);

process.on('uncaughtException', async (error, origin) => {
  process.exitCode = 1;
  // At once as well: no test is left to fail for an error of the exit itself.
  writeSync(1, `\n# ${inspect(error).replaceAll('\n', '\n# ')}\n`);
  const { default: tap } = await import('tap');
  tap.fail(`nobody caught an error (${origin})`, { error });
});
