/** One attack of `npm run bench:hostile`, in a process of its own; ended by SIGTERM, it prints what it was answered. */
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const [attack = '', url = '', token = '', id = ''] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const authorization = `Authorization: Bearer ${token}\r\n`;
const answers = new Map<string, number>();

function count(answer: string): void {
  answers.set(answer, (answers.get(answer) ?? 0) + 1);
}

/** Sends the head of a request, or its body, a byte a second, for as long as it may. */
async function dawdle(index: number): Promise<void> {
  const post = `POST /v1/keys HTTP/1.1\r\nHost: ${hostname}\r\n${authorization}Content-Type: application/json\r\n`;
  const whole = `${post}Content-Length: 100000\r\n\r\n${' '.repeat(1000)}`;
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.once('data', (data) => count(String(data).slice(9, 12)));
  let sent = index % 2 === 0 ? 1 : whole.length - 1000;
  socket.write(whole.slice(0, sent));
  const timer = setInterval(() => {
    socket.write(whole.slice(sent, sent + 1));
    sent += 1;
  }, 1000);
  await closed;
  clearInterval(timer);
}

/** Sends one request after the other, and waits where it is told to. */
function ask(agent: Agent, method: string, path: string, headers: Record<string, string> = {}, body?: string) {
  return new Promise<void>((resolve) => {
    const length = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length };
    const all = { authorization: `Bearer ${token}`, ...length, ...headers };
    const sent = request(new URL(path, url), { agent, method, headers: all }, (response) => {
      count(String(response.statusCode));
      const retryAfter = Number(response.headers['retry-after'] ?? 0);
      response.resume().on('end', () => setTimeout(resolve, retryAfter * 1000));
      response.on('error', () => resolve());
    });
    sent.on('error', () => {
      count('broken off');
      setTimeout(resolve, 100);
    });
    sent.end(body);
  });
}

/** More headers than are taken, and nearly as many as are, on a new connection each time. */
async function flood(index: number): Promise<void> {
  const lines = index % 2 === 0 ? 2000 : 450;
  const head = `GET /v1/access/me HTTP/1.1\r\nHost: ${hostname}\r\n${authorization}`;
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.once('data', (data) => {
    count(String(data).slice(9, 12));
    socket.destroy();
  });
  const floods = Array.from({ length: lines }, (_, line) => `X-Flood-${line}: ${'f'.repeat(16)}\r\n`).join('');
  socket.write(`${head}${floods}\r\n`);
  await closed;
  await delay(100);
}

/** What takes longest to read, to validate and to complain of, within 512 KiB. */
const bodies = [
  { policy: { Statement: Array.from({ length: 64 }, () => 'a'.repeat(8000)) } },
  { tags: Object.fromEntries(Array.from({ length: 35_000 }, (_, index) => [`tag-${index}`, 1])) },
  { policy: { Statement: Array.from({ length: 120_000 }, (_, index) => index % 100) } },
].map((body) => JSON.stringify(body));

const attacks: Record<string, { clients: number; act: (index: number, agent: Agent) => Promise<void> }> = {
  slow: { clients: 200, act: dawdle },
  waiting: { clients: 500, act: (_index, agent) => ask(agent, 'POST', '/v1/keys', { prefer: 'wait=60' }, '{}') },
  bodies: { clients: 21, act: (index, agent) => ask(agent, 'POST', '/v1/keys', {}, bodies[index % bodies.length]) },
  headers: { clients: 20, act: flood },
  reads: { clients: 500, act: (_index, agent) => ask(agent, 'GET', `/v1/keys/${id}`) },
};

process.once('SIGTERM', () => {
  const told = [...answers].map(([answer, times]) => `${times} × ${answer}`).join(', ');
  process.stdout.write(`${attack}: ${told || 'no answer'}\n`, () => process.exit());
});
const { clients, act } = attacks[attack] ?? { clients: 0, act: async () => {} };
for (let index = 0; index < clients; index += 1) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  void (async () => {
    for (;;) await act(index, agent);
  })();
}
