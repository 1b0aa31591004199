/** The OpenAPI document as it is committed: what the service serves at /openapi.yaml. */
import { buildApp } from '../src/app.ts';
import type { Services } from '../src/services/context.ts';

/** Made of the routes' schemas alone: no request is answered, and no service needed. */
export async function openApiYaml(): Promise<string> {
  const app = await buildApp({ services: {} as Services, logger: undefined });
  const { body } = await app.inject('/openapi.yaml');
  await app.close();
  return body;
}
