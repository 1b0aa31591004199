/**
 * Keys that somebody else changes in KMS, by the drift policies: what is only reported stays as it is, nothing is adopted that
 * KMS did not say. Their owners leave them alone meanwhile, so that whatever befalls them is Keyward's own doing.
 */
import { caller, eventually } from '../test/support/service.ts';
import type { Lab } from './lab.ts';
import type { Operation } from './operations.ts';
import type { Random } from './random.ts';

export type Ward = {
  id: string;
  keyId: string;
  arn: string;
  drift_policy: 'report' | 'adopt' | 'enforce';
  /** What somebody made of the key; null: nobody did. */
  theirs: { description: string; enabled: boolean } | null;
};

/** The provider of all wards, whose default tags change. */
const provider = 'wards';

/** Makes a ward while all is calm. */
export async function makeWard(url: string, mark: string, drift_policy: Ward['drift_policy']): Promise<Ward | null> {
  const call = caller(url);
  await call('POST', '/v1/providers', { name: provider, region: 'us-east-1' });
  const made = await call('POST', '/v1/keys', { provider, drift_policy, description: `${mark} ward` });
  const { id } = made.body;
  if (made.status >= 300) return null;
  const { body } = await eventually('the ward is made', async () => {
    const seen = await call('GET', `/v1/keys/${id}`);
    return seen.body.status.state === 'in_sync' && seen;
  });
  return { id, keyId: body.key_id ?? '', arn: body.arn ?? '', drift_policy, theirs: null };
}

export function anyDriftPolicy(random: Random): Ward['drift_policy'] {
  return random.pick(['report', 'report', 'adopt', 'enforce'] as const);
}

/** What somebody does to it, and when Keyward looks at it or has something to write to it. */
export function planForWard(random: Random, lab: Lab, ward: Ward, mark: string): Operation[] {
  const theirs = { description: `${mark} theirs`, enabled: random.chance(0.3) };
  const operations: Operation[] = [
    {
      name: `somebody changes ward ${ward.id} (${ward.drift_policy})`,
      kind: 'wards',
      at: random.between(0, 700),
      run: async () => {
        ward.theirs = theirs;
        await lab.control.changeKey(ward.arn, theirs);
      },
    },
  ];
  const add = (name: string, run: (url: string) => Promise<unknown>) =>
    operations.push({ name, at: random.between(0, 900), run: async (url) => void (await run(url).catch(() => {})) });
  if (random.chance(0.5)) add('refresh of the ward', (url) => post(url, 'POST', `/v1/keys/${ward.id}/refresh`));
  if (random.chance(0.5)) {
    const default_tags = { run: mark };
    add("default tags of the wards' provider", (url) =>
      post(url, 'PATCH', `/v1/providers/${provider}`, { default_tags }),
    );
  }
  return operations;
}

function post(url: string, method: string, path: string, body?: object): Promise<Response> {
  return fetch(new URL(path, url), {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    signal: AbortSignal.timeout(6000),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
