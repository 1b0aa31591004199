/** What a person sees while something takes time: on stderr, and moving only on a terminal. */
import { SingleBar } from 'cli-progress';
import ora, { type Ora } from 'ora';
import { type Io, visible, widthOf } from './io.ts';

/** Milliseconds that something may take before it is worth a word. */
const worthAWord = 400;

export type Activity = {
  /** Turns a spinner for as long as the promise takes. */
  during: <Result>(text: string, promise: Promise<Result>) => Promise<Result>;
  /** Tells why it takes longer. */
  note: (message: string) => void;
};

export function openActivity(io: Io): Activity {
  let spinner: Ora | undefined;
  let depth = 0;
  const isTerminal = io.stderr.isTTY === true;
  const start = (text: string) => {
    const words = ` ${visible(text)}`.slice(1, widthOf(io.stderr) - 4);
    // Its own handling of keys would take Ctrl-C away.
    spinner = ora({ text: words, stream: io.stderr, discardStdin: false, isEnabled: true }).start();
  };
  return {
    async during(text, promise) {
      if (!isTerminal || depth > 0) return promise;
      depth += 1;
      const timer = setTimeout(start, worthAWord, text);
      try {
        return await promise;
      } finally {
        depth -= 1;
        clearTimeout(timer);
        spinner?.stop();
        spinner = undefined;
      }
    },
    note(message) {
      if (spinner !== undefined) spinner.text = visible(message).slice(0, widthOf(io.stderr) - 4);
      else if (!isTerminal) io.stderr.write(`keyward: ${visible(message)}\n`);
    },
  };
}

export type Bar = { update: (done: number, total: number, text: string) => void; stop: () => void };

/** Milliseconds between two lines where there is no terminal to draw on. */
const betweenLines = 10_000;

/** A bar of how much is done. */
export function openBar(io: Io): Bar {
  if (io.stderr.isTTY !== true) return linesOf(io);
  const width = widthOf(io.stderr);
  const bar = new SingleBar({
    stream: io.stderr,
    format: '{bar} {value}/{total}  {text}',
    barsize: Math.min(30, Math.floor(width / 4)),
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    linewrap: false,
    gracefulExit: false,
    fps: 10,
  });
  bar.start(1, 0, { text: '' });
  return {
    update(done, total, text) {
      bar.setTotal(Math.max(total, 1));
      bar.update(done, { text: visible(text) });
    },
    stop: () => bar.stop(),
  };
}

function linesOf(io: Io): Bar {
  let last = Date.now();
  return {
    update(done, total, text) {
      if (Date.now() - last < betweenLines) return;
      last = Date.now();
      io.stderr.write(`keyward: ${done}/${total} ${visible(text)}\n`);
    },
    stop: () => {},
  };
}
