/** Desired states as people keep them in files: documents of YAML, or lines of JSON. */
import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { type Document, isCollection, isNode, LineCounter, parseAllDocuments } from 'yaml';
import { readInput } from './arguments.ts';
import { misuse } from './errors.ts';
import type { Io } from './io.ts';

/** A desired state, and where it stands. */
export type Declaration = {
  value: Record<string, unknown>;
  /** `keys.yaml:12`, of the document or of a field in it. */
  placeOf: (pointer?: string) => string;
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A declaration that names its key, so that the same file again is about the same key. */
function checked(value: unknown, placeOf: Declaration['placeOf']): Declaration {
  if (!isObject(value)) throw misuse(`${placeOf()}: a key is an object with fields such as id and description.`);
  if (typeof value['id'] !== 'string') {
    const hint = `One that nobody has yet, for a new key: id: ${randomUUID()}`;
    throw misuse(`${placeOf()}: it has no id. The same file applied again is about the same keys by it.`, hint);
  }
  return { value, placeOf };
}

function ofDocument(file: string, document: Document.Parsed, lines: LineCounter): Declaration[] {
  const lineAt = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  const [fault] = document.errors;
  if (fault !== undefined) throw misuse(`${lineAt(fault.pos[0])}: ${fault.message.split('\n')[0]}`);
  const { contents } = document;
  if (contents === null || (contents as { value?: unknown }).value === null) return [];
  const start = contents.range[0];
  const placeOf = (pointer = '') => {
    const path = pointer.split('/').slice(1);
    const found = isCollection(contents) && path.length > 0 ? contents.getIn(path, true) : undefined;
    return lineAt(isNode(found) ? (found.range?.[0] ?? start) : start);
  };
  return [checked(document.toJS(), placeOf)];
}

function ofLines(file: string, content: string): Declaration[] {
  return content.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const placeOf = () => `${file}:${index + 1}`;
    try {
      return [checked(JSON.parse(line), placeOf)];
    } catch (error) {
      if (error instanceof SyntaxError) throw misuse(`${placeOf()}: it is no JSON: ${error.message}`);
      throw error;
    }
  });
}

/** The text of a file, or of standard input. */
export const readGiven = (io: Io, file: string): Promise<string> => (file === '-' ? text(io.stdin) : readInput(file));

/** What a file declares: YAML with a document for each key, or what `keyward export --json` gives. */
export async function readDeclarations(io: Io, file: string): Promise<Declaration[]> {
  const content = await readGiven(io, file);
  const name = file === '-' ? 'standard input' : file;
  if (/^\s*\{.*\}\s*$/m.test(content.split('\n').find((line) => line.trim() !== '') ?? ''))
    return ofLines(name, content);
  const lines = new LineCounter();
  const documents = parseAllDocuments(content, { lineCounter: lines });
  if ('empty' in documents) return [];
  return documents.flatMap((document) => ofDocument(name, document, lines));
}
