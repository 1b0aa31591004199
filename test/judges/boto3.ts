/** `npm run test:boto3`: boto3, unmodified, against the local KMS that stands alone. */
import path from 'node:path';
import { firstLine, run, temporaryFolder } from '../support/process.ts';
import { runPython } from './python.ts';

const releases: (() => unknown)[] = [];
const owner = { teardown: (release: () => unknown) => releases.push(release) };
let code = 1;
try {
  const folder = await temporaryFolder(owner);
  const kms = run(owner, 'src/local/kms/main.ts', {}, ['--port', '0', '--data', path.join(folder, 'kms')]);
  const [url = ''] = /http:\S+?(?=,)/.exec(await firstLine(kms)) ?? [];
  code = await runPython(path.join(import.meta.dirname, 'boto3_local_kms.py'), [url]);
} finally {
  for (const release of releases.reverse()) await release();
}
process.exit(code);
