/** The OpenAPI document as it is committed: what the service serves at /openapi.yaml. */
import { buildApp } from '../src/app.ts';
import { readConfig, webOf } from '../src/config.ts';
import type { Services } from '../src/services/context.ts';

/** Made of the routes' schemas alone: no request is answered that would need the other services. */
export async function openApiYaml(): Promise<string> {
  const app = await buildApp({ services: { web: webOf(readConfig({})) } as Services, logger: undefined });
  await app.ready();
  const { body } = await app.inject('/openapi.yaml');
  await app.close();
  return body;
}
