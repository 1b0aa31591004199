/**
 * Tries a restored backup out, with PostgreSQL, a local KMS and a service of its own: `npm run recovery:drill`. It touches
 * nothing else, and ends with 1 when something was not as docs/recovery.md has it.
 */
import { keysInKms, liveOn, readReport, resume, setStage } from '../test/support/recovery-drill.ts';

const releases: (() => unknown)[] = [];
const tell = (line: string) => process.stdout.write(`${line}\n`);
let failures = 0;
const check = (what: string, isSo: boolean) => {
  if (!isSo) failures += 1;
  tell(`${isSo ? 'ok    ' : 'NOT OK'} ${what}`);
};

async function drill(): Promise<void> {
  const stage = await setStage({ teardown: (release) => releases.push(release) });
  tell('Six keys are made, five more accepted while KMS is away; then the cluster is copied, and life goes on.');
  const story = await liveOn(stage);
  const before = JSON.stringify(await keysInKms(stage));
  await stage.control.clear();
  tell('The copy is put back under the running service.');
  await stage.putBack();
  const { recovery, keys, writes } = await readReport(stage);
  tell(`GET /v1/recovery: ${JSON.stringify(recovery)}`);
  for (const { id, arn, differences } of keys) tell(`  ${id} ${arn ?? 'no key'}: ${JSON.stringify(differences)}`);
  check('nothing was written to KMS before the go', writes.length === 0);
  check('KMS is as it was', JSON.stringify(await keysInKms(stage)) === before);
  const declared = await resume(stage, [story.retagged.id], 'declared');
  tell(`The key whose tags were changed is resumed as declared: ${JSON.stringify(declared.body)}`);
  const observed = await resume(stage, 'all', 'observed');
  tell(`All others are resumed as observed: ${JSON.stringify(observed.body)}`);
  const isOver = async () => {
    const { body } = await stage.call<{ items: { status: { state: string } }[] }>('GET', '/v1/keys?limit=200');
    return body.items.every(({ status: { state } }) => state === 'in_sync' || state === 'pending_deletion');
  };
  for (let tries = 0; tries < 300 && !(await isOver()); tries += 1) await new Promise((go) => setTimeout(go, 100));
  check('all keys are in sync or pending deletion', await isOver());
  const after = await keysInKms(stage);
  const owners = after.flatMap(({ owner }) => (owner === null ? [] : [owner]));
  check('no key was made twice', new Set(owners).size === owners.length);
  check('none is missing', after.length === (JSON.parse(before) as unknown[]).length);
}

try {
  await drill();
} finally {
  for (const release of releases.reverse()) await release();
}
process.exit(failures === 0 ? 0 : 1);
