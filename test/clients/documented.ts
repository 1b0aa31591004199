/** What docs/clients.md tells of each client: how it is generated, and how the main job begins. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

const page = path.resolve(import.meta.dirname, '../../docs/clients.md');

/** Where the page has the service. */
const example = 'http://127.0.0.1:3000';

export type Documented = { commands: string[]; blocks: { language: string; text: string }[] };

/** @returns what the page has under this heading, with the commands that take the document from `url`. */
export async function documented(heading: string, url = example): Promise<Documented> {
  const [, section] = (await readFile(page, 'utf8')).split(`\n## ${heading}\n`);
  if (section === undefined) throw new Error(`docs/clients.md has no section ${heading}`);
  const [own = ''] = section.split('\n## ');
  const blocks = [...own.matchAll(/```(\w+)\n([\s\S]*?)\n```/g)].map(([, language = '', text = '']) => ({
    language,
    text,
  }));
  const lines = blocks.filter(({ language }) => language === 'sh').flatMap(({ text }) => text.split('\n'));
  const commands = lines.map((line) => line.replaceAll(example, url));
  return { commands, blocks: blocks.filter(({ language }) => language !== 'sh') };
}
