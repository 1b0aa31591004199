import pg from 'pg';
import { type Test, test } from 'tap';
import { currentUrgency, type Urgency } from '../../src/kms/urgency.ts';
import { type FailurePoint, failurePointNames } from '../../src/services/failure-points.ts';
import { accessTo } from '../../src/services/providers/access.ts';
import { scenarios } from '../support/failure-scenarios.ts';
import { eventually, startService } from '../support/service.ts';

const ourTables =
  /^\s*(?:WITH \w+ AS \(\s*)?(INSERT INTO|UPDATE|DELETE FROM)\s+("public"\.)?"?(keys|work|revisions|events|kms_writes|former_keys|errands|provider_changes)\b/i;
const renewal = /^\s*UPDATE work SET lease_until/;

/**
 * Tells of every committed change of our tables, right after PostgreSQL has answered: whatever code made it, a step is
 * seen here.
 */
function watchCommits(t: Test, onCommit: (step: string, by: Urgency) => void): void {
  const open = new WeakMap<object, string>();
  const { query } = pg.Client.prototype;
  const answered = (client: object, by: Urgency, text: string, rowCount: number | null | undefined) => {
    if (/^\s*BEGIN/i.test(text)) open.set(client, '');
    else if (/^\s*(COMMIT|ROLLBACK)/i.test(text)) {
      const changed = open.get(client) ?? '';
      open.delete(client);
      if (/^\s*COMMIT/i.test(text) && changed !== '') onCommit(`transaction: ${changed}`, by);
    } else if (ourTables.test(text) && !renewal.test(text) && rowCount !== 0) {
      const statement = text.trim().slice(0, 60);
      if (open.has(client)) open.set(client, statement);
      else onCommit(statement, by);
    }
  };
  function watched(this: pg.Client, ...args: unknown[]) {
    const [first] = args as [string | { text?: string }];
    const text = (typeof first === 'string' ? first : first?.text) ?? '';
    const last = args.at(-1);
    const by = currentUrgency();
    // The pool hands over a callback, everybody else awaits.
    if (typeof last === 'function') {
      const callback = (...results: unknown[]) => {
        answered(this, by, text, (results[1] as pg.QueryResult | undefined)?.rowCount);
        return Reflect.apply(last, undefined, results);
      };
      return Reflect.apply(query, this, [...args.slice(0, -1), callback]);
    }
    const result: unknown = Reflect.apply(query, this, args);
    if (!(result instanceof Promise)) return result;
    return result.then((answer: unknown) => {
      answered(this, by, text, (answer as pg.QueryResult | undefined)?.rowCount);
      return answer;
    });
  }
  pg.Client.prototype.query = watched as typeof query;
  t.teardown(() => {
    pg.Client.prototype.query = query;
  });
}

test('between every committed step and the next there is a failure point, and each point is come by', async (t) => {
  // `by`: a request and a sync that the calendar begins meanwhile each have steps of their own.
  type Passed = ({ point: FailurePoint } | { step: string }) & { by: Urgency };
  let trace: Passed[] = [];
  watchCommits(t, (step, by) => trace.push({ step, by }));
  const service = await startService(t, { WRITE_DEADLINE_SECONDS: '6', SETTLE_SECONDS: '0' });
  const { failurePoints } = service.services;
  const { pass } = failurePoints;
  failurePoints.pass = (point) => {
    trace.push({ point, by: currentUrgency() });
    return pass(point);
  };
  const { kms } = await accessTo(service.services, 'default');
  kms.writes.middlewareStack.add(
    (next, context) => async (args) => {
      const record = () =>
        trace.push({ step: `KMS: ${(context as { commandName?: string }).commandName}`, by: currentUrgency() });
      try {
        const answer = await next(args);
        record();
        return answer;
      } catch (error) {
        record();
        throw error;
      }
    },
    { step: 'deserialize', priority: 'low', name: 'trace', override: true },
  );

  const passed = new Set<FailurePoint>();
  for (const { name, prepare, act, points } of scenarios) {
    const key = (await prepare?.(service)) ?? '';
    trace = [];
    await act(service, key);
    const pointsPassed = () => new Set(trace.flatMap((entry) => ('point' in entry ? [entry.point] : [])));
    // The answer may be out before the change has gone its whole way.
    await eventually(`${name} comes by ${points.join(', ')}, and a point follows the last step`, async () => {
      const last = trace.at(-1);
      return last !== undefined && 'point' in last && points.every((point) => pointsPassed().has(point));
    });
    const steps = trace.filter((entry) => 'step' in entry);
    t.ok(steps.length >= 3, `${name}: ${steps.length} steps`);
    const bare = trace.flatMap((entry, index) => {
      const next = trace.slice(index + 1).find(({ by }) => by === entry.by);
      return 'step' in entry && next !== undefined && 'step' in next ? [`${entry.step} → ${next.step}`] : [];
    });
    t.same(bare, [], `${name}: no step follows another without a failure point`);
    for (const point of pointsPassed()) passed.add(point);
    await service.control.clearFaults();
  }
  t.same(
    failurePointNames.filter((point) => !passed.has(point)),
    [],
    'every point is come by',
  );
  const killed = new Set(scenarios.flatMap(({ points }) => points));
  t.same(
    failurePointNames.filter((point) => !killed.has(point)),
    [],
    'every point has its kill, in the crash test',
  );
});
