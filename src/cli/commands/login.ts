/** keyward login and logout. */
import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { asksSecret, canAsk } from '../ask.ts';
import { type Context, leaf } from '../command.ts';
import { configFile, findTarget, forgetTarget, keepTarget, serviceUrl, type Target } from '../config.ts';
import { Failure } from '../errors.ts';
import { type Io, visible } from '../io.ts';
import { printJson, say } from '../print.ts';
import { dataOf, openSession } from '../session.ts';

/** Typed by a person, or read from standard input; never an argument, which every process of the machine can see. */
async function readToken(io: Io): Promise<string> {
  const given = canAsk(io) ? await asksSecret(io, 'Token (empty: none is needed)') : await text(io.stdin);
  const token = given.trim();
  if (/[^\x21-\x7e]/.test(token)) throw new Failure('That is no token: it has blanks or other characters in it.');
  return token;
}

async function login(context: Context, options: { json?: boolean }, url: string | undefined): Promise<void> {
  const { io } = context;
  const place = url === undefined ? (await findTarget(io.env)).url : serviceUrl(url, 'The argument');
  const token = await readToken(io);
  const target: Target = { url: place, ...(token === '' ? {} : { token }) };
  context.session = await openSession(io, options, target);
  const me = await dataOf(context.session, context.session.api.GET('/v1/access/me'));
  const { protocol, hostname } = new URL(place);
  const isNear = /^(localhost|127\..*|\[::1\])$/.test(hostname);
  if (protocol === 'http:' && !isNear && token !== '') {
    say(io, 'Beware: the token goes to that host unencrypted, with every request. Use https.');
  }
  const file = await keepTarget(io.env, target);
  if (context.session.json) printJson(io, me);
  const who = me.subject === me.kind ? me.kind : `${me.subject} (${me.kind})`;
  say(io, `Signed in to ${place} as ${visible(who)}; kept in ${file}.`);
}

async function logout(context: Context): Promise<void> {
  const { io } = context;
  const wasThere = await forgetTarget(io.env);
  say(io, wasThere ? `Removed ${configFile(io.env)}.` : 'There was nothing to forget.');
}

export function addLogin(context: Context, program: Command): void {
  leaf(program, 'login [url]', {
    summary: 'Keep where the service is, and a token for it',
    more: 'The token is typed, or read from standard input. KEYWARD_URL and KEYWARD_TOKEN go before what is kept.',
    examples: ['keyward login https://keyward.example.com < token.txt'],
  }).action((url: string | undefined, options: { json?: boolean }) => login(context, options, url));

  leaf(program, 'logout', {
    summary: 'Forget where the service is, and the token',
    examples: ['keyward logout'],
  }).action(() => logout(context));
}
