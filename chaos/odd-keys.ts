/** Keys with something in them that KMS takes from nobody, and that a reader may choke on. */
import type { Client } from 'pg';
import type { kmsControl } from '../test/support/service.ts';
import type { Random } from './random.ts';

const oddities = [
  { policy: 'This is no JSON.' },
  { policy: 'This is no JSON.' },
  { description: 'A description\0with a NUL.' },
] as const;

type Odd = { arn: string; is: object; was: object };

export class OddKeys {
  readonly #control: ReturnType<typeof kmsControl>;
  readonly #database: () => Promise<Client>;
  #odd: Odd[] = [];

  constructor(control: ReturnType<typeof kmsControl>, database: () => Promise<Client>) {
    this.#control = control;
    this.#database = database;
  }

  /** Makes one of the newest keys odd; PostgreSQL, which knows them, may be away. */
  async spoil(random: Random): Promise<void> {
    const is = random.pick(oddities);
    const place = random.between(0, 4);
    const newest =
      "SELECT arn FROM keys WHERE arn IS NOT NULL AND state <> 'failed' ORDER BY id DESC LIMIT 1 OFFSET $1";
    const found = await this.#database()
      .then((database) => database.query<{ arn: string }>(newest, [place]))
      .catch(() => ({ rows: [] }));
    const arn = found.rows[0]?.arn;
    if (arn === undefined) return;
    const { status, body: before } = await this.#control.changeKey(arn, is);
    // It may be gone from KMS.
    if (status !== 200) return;
    this.#odd.push({ arn, is, was: 'policy' in is ? { policy: before.policy } : { description: before.description } });
  }

  /** What is odd yet becomes what it was. */
  async mend(): Promise<void> {
    for (const { arn, is, was } of this.#odd.splice(0)) {
      await this.#control.changeKey(arn, { ...was, instead_of: is });
    }
  }
}
