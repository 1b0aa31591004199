/** What went wrong, as a person wants to read it. */
import { Failure, Refusal } from './errors.ts';
import { type Io, jsonLine, paint, visible } from './io.ts';
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
  const width = Math.max(...places.map(([place]) => widthOfText(visible(place))));
  for (const [place, detail] of places) {
    const shown = visible(place);
    const padding = ' '.repeat(width - widthOfText(shown));
    io.stderr.write(`  ${paint(io.stderr, 'bold', shown)}${padding}${width === 0 ? '' : '  '}${visible(detail)}\n`);
  }
}

/** @param where says of a pointer where the person wrote it. */
export function printProblem(io: Io, { problem, retryAfter }: Refusal, where = placeOf): void {
  const title = paint(io.stderr, ['red', 'bold'], visible(problem.title));
  const { errors = [], status } = problem;
  const hint = hints[status];
  io.stderr.write(`${title}: ${visible(problem.detail)}\n`);
  if (errors.length > 0) {
    printPlaces(
      io,
      errors.map((error) => [where(error), error.detail]),
    );
  }
  if (hint !== undefined) io.stderr.write(`${hint}\n`);
  if (retryAfter !== undefined) io.stderr.write(`Try again in ${inTime(retryAfter)}.\n`);
  io.stderr.write(`${paint(io.stderr, 'dim', `request ${visible(problem.request_id)}`)}\n`);
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
  io.stderr.write(`${paint(io.stderr, ['red', 'bold'], 'keyward')}: ${visible(message)}\n`);
  if (error instanceof Failure && error.hint !== undefined) io.stderr.write(`${visible(error.hint)}\n`);
}
