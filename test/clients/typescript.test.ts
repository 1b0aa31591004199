import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';
import { adminToken, withTokens } from '../support/access.ts';
import { startService } from '../support/service.ts';
import { documented } from './documented.ts';
import { startLaterService } from './later.ts';
import { follow, readPage, writeFiles } from './pages.ts';
import { steps } from './steps.ts';

const root = path.resolve(import.meta.dirname, '../..');
const folder = path.join(import.meta.dirname, 'typescript');
const { devDependencies } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8'));

/** Runs a program of node_modules beside the clients' programs. @throws with what it printed, where it fails. */
async function run(program: string, args: string[], environment: Record<string, string> = {}): Promise<string> {
  const env = { ...process.env, ...environment };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { cwd: folder, env });
    return stdout;
  } catch (error) {
    const { message, stdout = '' } = error as Error & { stdout?: string };
    throw new Error(`${message}\n${stdout}`);
  }
}

/** The program and the arguments of a command that runs a package with npx. */
async function ofPackage(command: string): Promise<[program: string, args: string[]]> {
  const [npx, given = '', ...args] = command.split(' ');
  const [, name = '', version] = /^(.+)@(.+)$/.exec(given) ?? [];
  if (npx !== 'npx' || devDependencies[name] !== version) throw new Error(`${given} is not what package.json has`);
  const home = path.join(root, 'node_modules', name);
  const { bin } = JSON.parse(await readFile(path.join(home, 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
  };
  return [path.join(home, Object.values(bin)[0] ?? ''), args];
}

test('clients in TypeScript, as they are generated, do the main job in strict mode', async (t) => {
  const { url } = await startService(t, withTokens);
  const laterUrl = await startLaterService(t, url);
  const clients = { 'openapi-fetch': 'openapi-typescript and openapi-fetch', 'hey-api': '@hey-api/openapi-ts' };
  for (const heading of Object.values(clients)) {
    const { commands } = await documented(heading, url);
    for (const command of commands.filter((line) => line.startsWith('npx '))) await run(...(await ofPackage(command)));
  }
  const pages = [await readPage('tutorial'), await readPage('cookbook')];
  await writeFiles(path.join(folder, 'portal'), pages);
  await run(path.join(root, 'node_modules/typescript/bin/tsc'), ['--project', folder]);

  const environment = { KEYWARD_URL: url, KEYWARD_TOKEN: adminToken, KEYWARD_LATER_URL: laterUrl };
  for (const page of pages) {
    t.test(`docs/${page.name}.md, as a reader works through it`, async (t) => {
      const { commands } = await documented(clients['openapi-fetch']);
      if (page.name === 'tutorial') for (const command of commands) t.ok(page.text.includes(`\n${command}\n`), command);
      for (const file of Object.keys(page.files))
        if (file.startsWith('use-')) t.ok(page.text.includes(`$ node ${file}\n`));
      const followed = await follow(page, ([file = '', ...args]) => run(`portal/${file}`, args, environment));
      for (const { command, printed, shown } of followed) t.equal(printed, shown, command);
    });
  }
  for (const name of Object.keys(clients)) {
    t.test(name, async (t) => {
      const printed = await run(path.join(root, '.tap/clients', `${name}.js`), [], environment);
      const done = [...printed.matchAll(/^ok (.*)$/gm)].map(([, step]) => step);
      for (const step of steps) t.ok(done.includes(step), step);
    });
  }
});
