/**
 * tap follows each promise with an async hook, to tell to which test an error belongs that nobody has caught. To do so
 * cost a tenth of all that the tests do, in hooks and in garbage. Without it such an error ends the process, which fails
 * as a whole. Nothing else here has such hooks: Node's AsyncLocalStorage does without them.
 */
import asyncHooks, { type AsyncHook } from 'node:async_hooks';
import { syncBuiltinESMExports } from 'node:module';

const inert: AsyncHook = { enable: () => inert, disable: () => inert };
asyncHooks.createHook = () => inert;
syncBuiltinESMExports();
