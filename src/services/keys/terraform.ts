/** Keys as a configuration for Terraform. */
import { Prisma } from '../../database/client.ts';
import type { Access } from '../../domain/access.ts';
import { isPendingDeletion } from '../../domain/key-state.ts';
import type { ProviderSettings } from '../../domain/provider.ts';
import {
  bareProviderBlock,
  head,
  keyBlocks,
  type Place,
  providerBlocks,
} from '../../domain/terraform/configuration.ts';
import { commentOf } from '../../domain/terraform/hcl.ts';
import { aliasesOf, resourceName } from '../../domain/terraform/names.ts';
import type { Services } from '../context.ts';
import { conflict } from '../problems.ts';
import { assertKnown } from '../providers/commands.ts';
import { settingsFor } from '../providers/settings.ts';
import { declaredOf, desiredOf, driftOf, observedOf } from '../rows/declared.ts';
import type { KeyRow } from '../rows/key-row.ts';
import { isLost } from '../rows/predicates.ts';
import { walkKeys } from './export.ts';
import { conditionsOf } from './filters.ts';
import { findKey } from './find.ts';

/** What of a configuration is the same for all of its keys. */
type Frame = { places: Map<string, Place & { settings: ProviderSettings; isShown: boolean }>; names: Set<string> };

/**
 * The configuration of one key, whole in itself.
 * @throws ProblemError not-found; conflict where KMS has no key that Terraform could take over.
 */
export async function terraformOfKey(services: Services, id: string, access: Access): Promise<string> {
  const row = await findKey(services, id);
  const hindrance = hindranceOf(row);
  if (hindrance !== null) throw conflict(`Terraform can't take the key over: ${hindrance}.`, id);
  const frame = await frameFor(services, [row.provider], access);
  return head + providersIn(services, frame) + textOf(services, frame, row);
}

/**
 * The configuration of all keys that the caller may see, piece by piece.
 * @param provider only of its keys; undefined: of all.
 * @throws ProblemError not-found for a provider of which the caller sees no keys.
 */
export async function terraformOf(
  services: Services,
  provider: string | undefined,
  access: Access,
): Promise<AsyncGenerator<string>> {
  if (provider !== undefined) await assertKnown(services, provider, 'keys:read', access);
  const conditions = conditionsOf(provider === undefined ? {} : { provider }, access);
  const where = Prisma.join(conditions, ' AND ');
  const used = await services.database.prisma.$queryRaw<{ provider: string }[]>`
    SELECT DISTINCT provider FROM keys WHERE ${where}`;
  const frame = await frameFor(
    services,
    used.map((one) => one.provider),
    access,
  );
  return pieces(services, frame, conditions);
}

async function* pieces(services: Services, frame: Frame, conditions: Prisma.Sql[]) {
  yield head + providersIn(services, frame);
  for await (const rows of walkKeys(services, conditions)) {
    yield rows.map((row) => textOf(services, frame, row)).join('');
  }
}

async function frameFor(services: Services, providers: string[], access: Access): Promise<Frame> {
  const places: Frame['places'] = new Map();
  for (const [name, alias] of aliasesOf(providers)) {
    const settings = await settingsFor(services, name);
    places.set(name, { alias, settings, isShown: access.mayAt('providers:read', name) });
  }
  return { places, names: new Set() };
}

function providersIn({ rules, ownershipTagName }: Services, { places }: Frame): string {
  return [...places.values()]
    .map(({ alias, settings, isShown }) => {
      if (!isShown) return bareProviderBlock(alias, settings.region, ownershipTagName);
      return providerBlocks(alias, {
        settings,
        ownershipTagName,
        isAws: rules.endpointName(settings.endpoint) === 'aws',
      });
    })
    .join('');
}

function textOf(services: Services, { places, names }: Frame, row: KeyRow): string {
  const place = places.get(row.provider);
  const observed = observedOf(row);
  const hindrance = hindranceOf(row) ?? (place === undefined ? 'its provider came while this was written' : null);
  if (hindrance !== null || place === undefined || observed === null) {
    return `${commentOf(`Left out: key ${row.id}, ${hindrance}.`)}\n`;
  }
  const { alias, settings, isShown } = place;
  const key = {
    id: row.id,
    declared: declaredOf(row),
    desired: desiredOf(row, settings, services.ownershipTagName),
    observed,
    drift: driftOf(row).map(({ field }) => field),
  };
  const name = resourceName({ id: row.id, description: row.description }, names);
  return keyBlocks(key, name, { alias, settings: isShown ? settings : null });
}

/** Why Terraform could not take a key over; null: it could. */
function hindranceOf(row: KeyRow): string | null {
  if (row.state === 'deleted') return 'which KMS has deleted';
  if (row.lifecycle === 'pending_deletion') return 'whose deletion is scheduled: Terraform takes it for gone';
  if (row.lifecycle === 'released') return 'which is being released';
  const observed = observedOf(row);
  if (row.key_id === null || observed === null) return 'which KMS does not have, as far as is known';
  if (isLost(row)) return 'which is gone from KMS';
  return isPendingDeletion(observed) ? 'whose deletion somebody has scheduled: Terraform takes it for gone' : null;
}
