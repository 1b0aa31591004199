/** Pages of the documentation as a reader works through them: the files that they show, and the commands with their output. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Exchange, readSession } from '../support/console-session.ts';

export type Page = { name: string; text: string; files: Record<string, string>; session: Exchange[] };

/** @param name of a page of docs/, whose TypeScript blocks have the names of files. */
export async function readPage(name: string): Promise<Page> {
  const text = await readFile(path.resolve(import.meta.dirname, `../../docs/${name}.md`), 'utf8');
  const blocks = [...text.matchAll(/^```ts ?(\S*)\n([\s\S]*?)^```$/gm)];
  const files = Object.fromEntries(blocks.map(([, file = '', content = '']) => [file, content]));
  if ('' in files) throw new Error(`docs/${name}.md has a block without a name`);
  return { name, text, files, session: readSession(text) };
}

/** Writes the files of the pages into one folder, beside the types that were generated above it. */
export async function writeFiles(folder: string, pages: Page[]): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  await writeFile(path.join(folder, 'keyward.ts'), "export type * from '../keyward.ts';\n");
  for (const [file, content] of pages.flatMap(({ files }) => Object.entries(files))) {
    await writeFile(path.join(folder, file), content);
  }
}

const uuid = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/**
 * Goes through the commands of a page, one after the other. An id that the page shows stands for the one that there is.
 * @param run a program of the page with its arguments. @returns of each command what was printed and what is shown.
 */
export async function follow(page: Page, run: (args: string[]) => Promise<string>) {
  const real = new Map<string, string>();
  const followed: { command: string; printed: string; shown: string }[] = [];
  for (const { command, answer } of page.session) {
    const here = command.replaceAll(uuid, (id) => real.get(id) ?? id);
    const [program, ...args] = here.split(' ');
    if (program !== 'node') throw new Error(`${page.name}: ${command} is not for node`);
    const printed = (await run(args)).trim();
    const there = printed.match(uuid) ?? [];
    for (const [index, id] of (answer.match(uuid) ?? []).entries()) real.set(id, there[index] ?? id);
    followed.push({ command, printed, shown: answer.replaceAll(uuid, (id) => real.get(id) ?? id) });
  }
  return followed;
}
