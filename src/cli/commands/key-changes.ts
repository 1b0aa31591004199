/** keyward keys create, update, plan, delete and restore. */
import type { Command } from 'commander';
import { addArguments, addChanges, addReplicaArguments, bodyOf } from '../arguments.ts';
import { typesIt } from '../ask.ts';
import { act, type Context, leaf } from '../command.ts';
import { exitCodes, Failure, misuse } from '../errors.ts';
import { findKey, type Key, nameOf, settled } from '../keys.ts';
import { positiveNumber } from '../lists.ts';
import { hasSomethingToDo, isRefused, type Plan, printPlan } from '../plan.ts';
import { printJson, say } from '../print.ts';
import { dataOf, type Schemas, type Session } from '../session.ts';
import { sayKey } from '../show-key.ts';
import { time } from '../text.ts';

const example = '01980e6c-7a4b-7c1e-9f00-3b5e8d1c2a10';

/** Shows a key that was written. */
function show(session: Session, done: string, key: Key): undefined {
  if (session.json) return printJson(session.io, key);
  sayKey(session.io, done, key);
}

/** Said at Ctrl-C while a request is out. */
const maybeRecorded = 'It may have been recorded at Keyward all the same: keyward keys list tells.';

type Taking = { takeAliases?: true };

/** Whether names that other keys have are to be taken from them. */
const queryOf = ({ takeAliases }: Taking) => (takeAliases === undefined ? {} : { take_aliases: takeAliases });
const takeAliases = ['--take-aliases', 'take an alias from the key that has it, in place of a refusal'] as const;

async function create(session: Session, options: Taking): Promise<undefined> {
  const body: Schemas['KeyCreate'] = await bodyOf(session.io, options);
  session.underWay = maybeRecorded;
  const key = await dataOf(session, session.api.POST('/v1/keys', { params: { query: queryOf(options) }, body }));
  show(session, 'Created', await settled(session, key));
}

async function update(session: Session, options: Taking, given: string): Promise<undefined> {
  const body: Schemas['KeyPatch'] = await bodyOf(session.io, options);
  if (Object.keys(body).length === 0)
    throw misuse('Nothing to change was given.', 'keyward keys update --help says what can be.');
  const { key, etag } = await findKey(session, given);
  session.underWay = `It may have been recorded all the same: keyward keys history ${key.id} tells.`;
  const params = { path: { id: key.id }, header: { 'If-Match': etag }, query: queryOf(options) };
  const changed = await dataOf(session, session.api.PATCH('/v1/keys/{id}', { params, body }));
  show(session, 'Updated', await settled(session, changed));
}

/** How a run ends that only looked: something to do, nothing, or something that would be refused. */
export function codeOfPlans(plans: Plan[]): number {
  if (plans.some(isRefused)) return exitCodes.failed;
  return plans.some(hasSomethingToDo) ? exitCodes.toDo : exitCodes.ok;
}

async function plan(session: Session, options: object, given: string | undefined): Promise<number> {
  const { api, io } = session;
  const found = given === undefined ? undefined : (await findKey(session, given)).key;
  const result =
    found === undefined
      ? await dataOf(session, api.POST('/v1/keys/plan', { body: await bodyOf(io, options) }))
      : await dataOf(
          session,
          api.POST('/v1/keys/{id}/plan', { params: { path: { id: found.id } }, body: await bodyOf(io, options) }),
        );
  if (session.json) printJson(io, result);
  else if (!hasSomethingToDo(result)) say(io, 'Nothing to do.');
  else if (found === undefined) printPlan(io, 'create', 'a key', result);
  else printPlan(io, 'update', nameOf(found), result);
  return codeOfPlans([result]);
}

type Deletion = { yes?: boolean; deletionWindowInDays?: number };

async function isMeant(session: Session, key: Key, days: number): Promise<boolean> {
  const { io } = session;
  const what = key.description === '' ? 'its id' : 'its description';
  say(io, `KMS will delete key ${nameOf(key)} after ${days} days; what it encrypted is lost then.`);
  return typesIt(io, `To have it deleted, type ${what}:`, key.description === '' ? key.id : key.description);
}

async function remove(session: Session, options: Deletion, given: string): Promise<undefined> {
  const { key, etag } = await findKey(session, given);
  const { yes = false, deletionWindowInDays: days } = options;
  if (!yes && !(await isMeant(session, key, days ?? key.deletion_window_in_days))) {
    throw new Failure('That is not it; nothing was changed.');
  }
  session.underWay = `It may have been recorded all the same: keyward keys get ${key.id} tells.`;
  const params = {
    path: { id: key.id },
    header: { 'If-Match': etag },
    query: days === undefined ? {} : { deletion_window_in_days: days },
  };
  const gone = await dataOf<Key | undefined>(session, session.api.DELETE('/v1/keys/{id}', { params }));
  if (gone === undefined) return say(session.io, `Removed ${key.id}, which KMS never had.`);
  const last = await settled(session, gone);
  if (session.json) return printJson(session.io, last);
  sayKey(session.io, 'Deleted', last);
  const { deletion_date } = last.status;
  say(session.io, `Until ${time(deletion_date)} keyward keys restore ${key.id} takes it back.`);
}

async function restore(session: Session, _options: object, given: string): Promise<undefined> {
  const { key } = await findKey(session, given);
  const { api } = session;
  session.underWay = `It may have been recorded all the same: keyward keys get ${key.id} tells.`;
  const back = await dataOf(session, api.POST('/v1/keys/{id}/restore', { params: { path: { id: key.id } } }));
  show(session, 'Restored', await settled(session, back));
}

type Replication = Taking & { provider: string };

async function replicate(session: Session, options: Replication, given: string): Promise<undefined> {
  const { key } = await findKey(session, given);
  const body: Schemas['ReplicaCreate'] = { ...(await bodyOf(session.io, options)), provider: options.provider };
  session.underWay = `It may have been recorded all the same: keyward keys get ${key.id} tells.`;
  const params = { path: { id: key.id }, query: queryOf(options) };
  const made = await dataOf(session, session.api.POST('/v1/keys/{id}/replicas', { params, body }));
  show(session, 'Replicated', await settled(session, made));
}

async function promote(session: Session, _options: object, given: string): Promise<undefined> {
  const { key } = await findKey(session, given);
  session.underWay = `It may have been recorded all the same: keyward keys get ${key.id} tells.`;
  const params = { path: { id: key.id } };
  const primary = await dataOf(session, session.api.POST('/v1/keys/{id}/promote', { params }));
  show(session, 'Promoted', await settled(session, primary));
}

function addReplicas(context: Context, keys: Command): void {
  const replicating = leaf(keys, 'replicate <key>', {
    summary: 'Make a replica of a multi-Region key in the Region of a provider',
    examples: [`keyward keys replicate ${example} --provider eu --description "Card data, for recovery"`],
  });
  act<Replication>(context, addReplicaArguments(replicating).option(...takeAliases), replicate);

  const promoting = leaf(keys, 'promote <key>', {
    summary: 'Make a replica the primary key of its family',
    examples: [`keyward keys promote ${example}`],
  });
  act<object>(context, promoting, promote);
}

function addWrites(context: Context, keys: Command): void {
  const creating = leaf(keys, 'create', {
    summary: 'Create a key, and wait until KMS holds it',
    examples: ['keyward keys create --description "Card data" --tag team=payments --enable-key-rotation'],
  });
  act<Taking>(context, addArguments(creating).option(...takeAliases), create);

  const updating = leaf(keys, 'update <key>', {
    summary: 'Change a key, unless somebody else does meanwhile',
    more: 'What is not named stays. The service refuses the change where the key is not any more as it was read.',
    examples: [`keyward keys update ${example} --tag env=prod --enable-key-rotation`],
  });
  act<Taking>(context, addChanges(updating).option(...takeAliases), update);
}

/** Adds the commands that change keys, or say what a change would do. */
export function addKeyChanges(context: Context, keys: Command): void {
  addWrites(context, keys);
  addReplicas(context, keys);

  const planning = leaf(keys, 'plan [key]', {
    summary: 'Say what an update would do, or a creation where no key is named',
    more: 'Exit code 0: nothing; 2: something; 1: something that would be refused.',
    examples: [`keyward keys plan ${example} --multi-region`, 'keyward keys plan --description "Card data"'],
  });
  act<object>(context, addArguments(planning), (session, options, given) => plan(session, options, given));

  const deleting = leaf(keys, 'delete <key>', {
    summary: 'Have KMS delete a key when its deletion window is over',
    more: 'It asks for the description of the key. Until the window is over, keyward keys restore takes it back.',
    examples: [`keyward keys delete ${example} --deletion-window-in-days 7 --yes`],
  })
    .option('--deletion-window-in-days <number>', 'in place of what is declared, 7 to 30', positiveNumber)
    .option('--yes', 'do not ask');
  act<Deletion>(context, deleting, remove);

  const restoring = leaf(keys, 'restore <key>', {
    summary: 'Take a deletion back',
    examples: [`keyward keys restore ${example}`],
  });
  act(context, restoring, restore);
}
