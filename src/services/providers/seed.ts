/** The provider that there is from the first start on, made from the environment. */
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../../config.ts';
import type { Database } from '../../database/client.ts';
import { standardProvider } from './settings.ts';

/** Makes the standard provider, unless there is one: from then on it is changed through the API. */
export async function seedProvider({ prisma }: Database, config: Config, log: FastifyBaseLogger): Promise<void> {
  const { AWS_REGION: region, REFRESH_INTERVAL_SECONDS } = config;
  await prisma.$executeRaw`
    INSERT INTO providers (name, region, allowed_account_ids, default_tags, ignore_tags, drift_policy, refresh_interval_seconds)
    VALUES (${standardProvider}, ${region}, '[]', '{}', '{"keys": [], "key_prefixes": []}', 'enforce', ${REFRESH_INTERVAL_SECONDS})
    ON CONFLICT (name) DO NOTHING`;
  const provider = await prisma.provider.findUnique({ where: { name: standardProvider } });
  if (provider === null || provider.region === region) return;
  const message = `AWS_REGION is ${region}, but provider ${standardProvider} was made for ${provider.region} and stays there`;
  log.warn({ provider: standardProvider, region: provider.region }, message);
}
