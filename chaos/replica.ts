/** One service process that can be killed, frozen, and made to do either to itself at a failure point. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ArmedPoint } from '../src/services/failure-points.ts';
import { type Owner, type Service, startProcess } from '../test/support/process.ts';

export type Fired = ArmedPoint & { pid: number };

export class Replica {
  readonly #owner: Owner;
  readonly #environment: Record<string, string>;
  readonly #folder: string;
  #service: Service | null = null;
  /** How it ended by itself, which it must not. */
  unexpectedEnd: string | null = null;

  /** @param folder for its failure points. */
  constructor(owner: Owner, folder: string, environment: Record<string, string>) {
    this.#owner = owner;
    this.#folder = folder;
    this.#environment = environment;
  }

  /** How often its former lives took a key over from a worker that fell silent. */
  takeovers = 0;

  /** The same, in all its lives. */
  get allTakeovers(): number {
    return this.takeovers + (this.isRunning && this.#service !== null ? takeoversIn(this.#service) : 0);
  }

  get isRunning(): boolean {
    return this.#service !== null && this.#service.child.exitCode === null && this.#service.child.signalCode === null;
  }

  /** @throws when it does not run. */
  get service(): Service {
    if (this.#service === null) throw new Error('The replica was never started');
    return this.#service;
  }

  /** Starts it, unless it runs. */
  async start(): Promise<void> {
    if (this.isRunning) return;
    await mkdir(this.#folder, { recursive: true });
    const service = await startProcess(this.#owner, { ...this.#environment, FAILURE_POINTS: this.#folder });
    this.#service = service;
    service.ended.then(({ code, signal }) => {
      this.takeovers += takeoversIn(service);
      if (code !== 0 && signal !== 'SIGKILL')
        this.unexpectedEnd = `${code ?? signal}: ${service.stderr().slice(-2000)}`;
    });
  }

  /** What it is to do to itself from now on; replaces what was armed before. */
  async arm(points: ArmedPoint[]): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await writeFile(path.join(this.#folder, 'armed.json'), JSON.stringify(points));
  }

  /** What it has done to itself, in all its lives. */
  async fired(): Promise<Fired[]> {
    const text = await readFile(path.join(this.#folder, 'fired.log'), 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Fired);
  }

  /** Sends a signal, where there is a process to take it. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): void {
    if (this.isRunning) this.#service?.child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#service?.ended;
  }
}

function takeoversIn(service: Service): number {
  return service.stderr().split('took a key over').length - 1;
}
