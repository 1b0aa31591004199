/** `npm run test:boto3`: boto3, unmodified, against the local KMS that stands alone. */
import path from 'node:path';
import { firstLine, run, temporaryFolder } from '../support/process.ts';
import { pythonPrograms, runPython } from './python.ts';

const releases: (() => unknown)[] = [];
const owner = { teardown: (release: () => unknown) => releases.push(release) };

async function judge(programs: string): Promise<number> {
  const folder = await temporaryFolder(owner);
  const kms = run(owner, 'src/local/kms/main.ts', {}, ['--port', '0', '--data', path.join(folder, 'kms')]);
  const [url = ''] = /http:\S+?(?=,)/.exec(await firstLine(kms)) ?? [];
  return runPython(programs, path.join(import.meta.dirname, 'boto3_local_kms.py'), [url]);
}

let code = 1;
try {
  const programs = pythonPrograms('boto3', ['boto3==1.44.5']);
  if (programs === null) process.stdout.write('0 passed, 0 failed\n');
  code = programs === null ? 0 : await judge(programs);
} finally {
  for (const release of releases.reverse()) await release();
}
process.exit(code);
