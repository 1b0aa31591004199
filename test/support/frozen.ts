/** Workers that freeze at a point of a sync, as if their process stood still, and wake up when another has taken over. */
import type { KMSClient } from '@aws-sdk/client-kms';
import type { FailurePoint } from '../../src/services/failure-points.ts';
import type { startService } from './service.ts';

type Service = Awaited<ReturnType<typeof startService>>;

/** Something to wait for, and what ends the wait. */
export function gate() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { promise, open: resolve };
}

/** Holds whoever comes next by a failure point, as if its process were frozen there. */
export function freezeAt({ services }: Service, at: FailurePoint) {
  const { failurePoints } = services;
  const { pass } = failurePoints;
  const [frozen, awake] = [gate(), gate()];
  failurePoints.pass = async (point) => {
    if (point === at) {
      failurePoints.pass = pass;
      frozen.open();
      await awake.promise;
    }
    return pass(point);
  };
  return { frozen: frozen.promise, wake: awake.open };
}

/** Another worker takes the key over, as from one that fell silent. */
export function loseLease({ services }: Service, id: string) {
  return services.database.prisma.$executeRaw`
    UPDATE work SET lease_token = gen_random_uuid(), lease_until = now() - interval '1 second', due_at = now()
    WHERE key_ref = ${id}::uuid`;
}

type Handler<Args, Answer> = (args: Args) => Promise<Answer>;
type Middleware = <Args, Answer>(
  next: Handler<Args, Answer>,
  context: { commandName?: string },
) => Handler<Args, Answer>;

/** Has each read go through this from now on. @returns a function that ends it. */
export function goThrough(reads: Pick<KMSClient, 'middlewareStack'>, name: string, middleware: Middleware): () => void {
  // The client keeps what it has put together for each command.
  const forget = () => Reflect.deleteProperty(reads, 'handlers');
  reads.middlewareStack.add(middleware, { step: 'initialize', name });
  forget();
  return () => {
    reads.middlewareStack.remove(name);
    forget();
  };
}
