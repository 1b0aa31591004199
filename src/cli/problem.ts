/** What went wrong, as a person wants to read it. */
import { Failure, Refusal } from './errors.ts';
import { type Io, jsonLine, paint, visible, widthOf } from './io.ts';
import { say, wrapped } from './print.ts';
import { widthOfText } from './text.ts';

/** `/tags/team` is `tags.team`: RFC 6901 as it is said. */
export function fieldOf(pointer: string): string {
  const parts = pointer.split('/').slice(1);
  return parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')).join('.');
}

/** Where something is wrong: in a field, in a parameter, or in all of it. */
const placeOf = ({ pointer, parameter }: { pointer?: string; parameter?: string }): string =>
  parameter ?? (pointer === undefined ? '' : fieldOf(pointer));

const hints: Record<number, string> = {
  401: 'keyward login takes a token; KEYWARD_TOKEN names one for this run.',
};

/** Things that are wrong, each at its place, below each other. */
export function printPlaces(io: Io, places: [place: string, detail: string][]): void {
  const shown = places.map(([place, detail]) => ({ place: visible(place), detail: visible(detail) }));
  const widest = Math.max(...shown.map(({ place }) => widthOfText(place)));
  // Long places, such as those in files, stand in a line of their own.
  const isBeside = widest <= widthOf(io.stderr) / 3;
  const indent = isBeside ? widest + 4 : 4;
  for (const { place, detail } of shown) {
    const lines = wrapped(io, detail, indent).replaceAll('\n', `\n${' '.repeat(indent)}`);
    const gap = isBeside ? ' '.repeat(indent - 2 - widthOfText(place)) : `\n${' '.repeat(indent)}`;
    io.stderr.write(`  ${paint(io.stderr, ['red', 'bold'], place)}${gap}${lines}\n`);
  }
}

/** @param where says of a pointer where the person wrote it. */
export function printProblem(io: Io, { problem, retryAfter }: Refusal, where = placeOf): void {
  const title = paint(io.stderr, ['red', 'bold'], visible(problem.title));
  const { errors = [], status } = problem;
  const hint = hints[status];
  say(io, `${title}: ${visible(problem.detail)}`);
  if (errors.length > 0) {
    printPlaces(
      io,
      errors.map((error) => [where(error), error.detail]),
    );
  }
  if (hint !== undefined) say(io, hint);
  if (retryAfter !== undefined) say(io, `Try again in ${inTime(retryAfter)}.`);
  say(io, paint(io.stderr, 'dim', `request ${visible(problem.request_id)}`));
}

const inTime = (seconds: number) => (seconds < 100 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`);

/** Prints why a run failed. @param json for programs: the problem itself. */
export function printFailure(io: Io, error: unknown, json: boolean): void {
  if (error instanceof Refusal) {
    if (json) io.stderr.write(`${jsonLine(error.problem)}\n`);
    else printProblem(io, error);
    return;
  }
  const { message } = error as Error;
  say(io, `${paint(io.stderr, ['red', 'bold'], 'keyward')}: ${visible(message)}`);
  if (error instanceof Failure && error.hint !== undefined) say(io, visible(error.hint));
}
