/** Providers in tests of what they do. */
import type { Provider } from '../../src/schemas/provider.ts';
import type { Call } from './service.ts';
import { eventually } from './service.ts';

/** Makes a provider. @returns its name. */
export async function addProvider(call: Call, settings: Partial<Provider> & { name: string }): Promise<string> {
  const { status, body } = await call<Provider>('POST', '/v1/providers', { region: 'us-east-1', ...settings });
  if (status !== 201) throw new Error(`POST /v1/providers: ${status} ${JSON.stringify(body)}`);
  return settings.name;
}

/** Changes a provider, and waits until the change has reached all of its keys. */
export async function changeProvider(call: Call, name: string, patch: object): Promise<Provider> {
  const { status, body } = await call<Provider>('PATCH', `/v1/providers/${name}`, patch);
  if (status !== 200) throw new Error(`PATCH /v1/providers/${name}: ${status} ${JSON.stringify(body)}`);
  return eventually(`the change of ${name} reaches its keys`, async () => {
    const { body: now } = await call<Provider>('GET', `/v1/providers/${name}`);
    return now.progress.keys_pending === 0 ? now : undefined;
  });
}
