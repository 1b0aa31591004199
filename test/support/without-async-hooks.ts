/**
 * tap follows each promise with an async hook, to tell to which test an error belongs that nobody has caught. To do so
 * cost a tenth of all that the tests do, in hooks and in garbage. Nothing else here has such hooks: Node's
 * AsyncLocalStorage does without them. An error that nobody has caught fails the process's own test instead, by name.
 */
import asyncHooks, { type AsyncHook } from 'node:async_hooks';
import { syncBuiltinESMExports } from 'node:module';

const inert: AsyncHook = { enable: () => inert, disable: () => inert };
asyncHooks.createHook = () => inert;
syncBuiltinESMExports();

process.on('uncaughtException', async (error, origin) => {
  process.exitCode = 1;
  const { default: tap } = await import('tap');
  tap.fail(`nobody caught an error (${origin})`, { error });
});
