/** State files of Terraform or OpenTofu, as they come in requests. */
import { invalidInput, ProblemError } from '../problems.ts';
import type { Candidate } from './rows/items.ts';
import { type StateFile, StateReader, UnreadableState } from './state-reader.ts';

/** Characters that are read at once: others get their turn in between. */
const portion = 65_536;

/**
 * Reads a state that came as a part of a body.
 * @throws ProblemError invalid-input
 */
export function readState(state: object): StateFile {
  const text = JSON.stringify(state);
  return reading('/source/terraform_state', (reader) => {
    for (let start = 0; start < text.length; start += portion) reader.push(text.slice(start, start + portion));
    return reader.end();
  });
}

/** The same of one that comes as a stream. */
export class IncomingState {
  readonly #reader = new StateReader();
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });

  /** @throws ProblemError malformed-request, invalid-input. */
  push(bytes: Uint8Array): void {
    const text = this.#decode(bytes);
    reading('', () => this.#reader.push(text), this.#reader);
  }

  /** @throws ProblemError malformed-request, invalid-input. */
  end(): StateFile {
    const rest = this.#decode();
    return reading(
      '',
      (reader) => {
        reader.push(rest);
        return reader.end();
      },
      this.#reader,
    );
  }

  #decode(bytes?: Uint8Array): string {
    try {
      return bytes === undefined ? this.#decoder.decode() : this.#decoder.decode(bytes, { stream: true });
    } catch {
      throw new ProblemError('malformed-request', 'The body is not valid UTF-8.');
    }
  }
}

function reading<Read>(pointer: string, read: (reader: StateReader) => Read, reader = new StateReader()): Read {
  try {
    return read(reader);
  } catch (error) {
    if (!(error instanceof UnreadableState)) throw error;
    if (error.kind === 'json') throw new ProblemError('malformed-request', error.message);
    const at = error.kind === 'version' ? `${pointer}/version` : pointer;
    throw invalidInput([{ pointer: at, code: 'incompatible', detail: error.message }]);
  }
}

/**
 * The keys that an import of the state is about.
 * @throws ProblemError invalid-input where there is none.
 */
export function candidatesIn({ instances }: StateFile, provider: string | null): Candidate[] {
  if (instances.length === 0) {
    const detail = 'The state has no aws_kms_key: there is nothing to import.';
    throw invalidInput([{ pointer: '/resources', code: 'incompatible', detail }]);
  }
  return instances.map(({ address, arn, stated, why }, position) => {
    const found = { position, source: address, arn, stated, provider };
    if (why === 'data_source') {
      const detail = 'It is a data source: Terraform only reads it. Name its key by its id where it is to be imported.';
      return { ...found, outcome: 'skipped', reason: { code: why, detail } };
    }
    if (why === 'deposed') {
      const detail = 'It is a deposed object, which Terraform was about to destroy when it was replaced.';
      return { ...found, outcome: 'skipped', reason: { code: why, detail } };
    }
    if (arn === null) {
      const detail = 'The state does not tell its ARN: it was never made, or the state was edited.';
      return { ...found, outcome: 'failed', reason: { code: 'no_arn', detail } };
    }
    return found;
  });
}
