/** Where replicas of a key can be, and what is declared of those that are asked for with it. */
import type { Rights } from '../../domain/access.ts';
import { type ArgumentName, ofPrimary } from '../../domain/arguments.ts';
import { partitionOf } from '../../domain/regions.ts';
import type { Violation } from '../../domain/types.ts';
import { KmsFailure } from '../../kms/errors.ts';
import type { Services } from '../context.ts';
import { type Input, invalidInput, ProblemError, problemOf } from '../problems.ts';
import { accessTo } from '../providers/access.ts';
import { findSettings, type NamedProvider, standardProvider } from '../providers/settings.ts';
import { declaredByCreate, declaredByReplication } from './input.ts';

type Declared = Awaited<ReturnType<typeof declaredByCreate>>;

/** Where a primary key is, or is to be. `account`: null where that is not told. */
export type PrimaryPlace = { region: string; partition: string; account: string | null };

/**
 * Why KMS can't replicate a key to a provider; null: nothing is known to be in the way.
 * @throws ProblemError temporarily-unavailable
 */
export async function faultOfPlace(
  services: Services,
  { name, settings: { region } }: NamedProvider,
  primary: PrimaryPlace,
): Promise<string | null> {
  if (region === primary.region) return `Provider ${name} is for ${region}, where the primary key is.`;
  if (partitionOf(region) !== primary.partition) {
    return `Provider ${name} is for ${region}, which is in another partition of AWS than the primary key.`;
  }
  const here = (await accountAt(services, name)) ?? primary.account;
  if (primary.account === null || here === primary.account) return null;
  return `Provider ${name} is for account ${here}, and the primary key is in ${primary.account}.`;
}

/** null: not told. @throws ProblemError temporarily-unavailable */
async function accountAt(services: Services, provider: string): Promise<string | null> {
  const { kms } = await accessTo(services, provider).catch((error) => {
    throw error instanceof KmsFailure ? problemOf(error, provider) : error;
  });
  return (await kms.identity())?.account ?? null;
}

const membersOf = ({ body }: Input) => {
  return (body !== null && typeof body === 'object' && !Array.isArray(body) ? body : {}) as Record<string, unknown>;
};

/** The providers at which replicas are asked for with the key. */
export function replicateTo(input: Input): string[] {
  const { replicate_to: names } = membersOf(input);
  const isInvalid = input.violations.some(({ pointer }) => pointer.startsWith('/replicate_to'));
  return Array.isArray(names) && !isInvalid ? names : [];
}

/**
 * The key that the body of a POST declares, and the replicas that it asks for.
 * @throws ProblemError invalid-input with every violation at once; temporarily-unavailable.
 */
export async function declaredTogether(
  services: Services,
  input: Input,
  rights: Rights,
): Promise<Declared & { replicas: Declared[] }> {
  const names = replicateTo(input);
  if (names.length === 0) return { ...(await declaredByCreate(services, input, rights)), replicas: [] };
  const told = [...input.violations, ...(await faultsOfPlaces(services, input, names, rights))];
  const key = await declaredByCreate(services, { ...input, violations: told }, rights);
  const violations: Violation[] = [];
  const replicas: Declared[] = [];
  for (const [index, provider] of names.entries()) {
    const own = { violations: [], body: { ...ownOfReplica(input), provider } } as Input;
    try {
      replicas.push(await declaredByReplication(services, key.declared, own, rights));
    } catch (error) {
      if (!(error instanceof ProblemError) || error.kind !== 'invalid-input') throw error;
      const ofReplica = (error.errors ?? []).map(({ code, detail }): Violation => {
        return { pointer: `/replicate_to/${index}`, code, detail };
      });
      violations.push(...ofReplica);
    }
  }
  if (violations.length > 0) throw invalidInput(violations);
  return { ...key, replicas };
}

/** What of the body holds for each of the replicas. Aliases are the names of one key in each Region: they are not copied. */
function ownOfReplica(input: Input): object {
  const isShared = (name: string) =>
    !ofPrimary.has(name as ArgumentName) && !['aliases', 'replicate_to'].includes(name);
  return Object.fromEntries(Object.entries(membersOf(input)).filter(([name]) => isShared(name)));
}

/** @throws ProblemError temporarily-unavailable */
async function faultsOfPlaces(
  services: Services,
  input: Input,
  names: string[],
  { access, permission }: Rights,
): Promise<Violation[]> {
  const { provider, multi_region, is_enabled } = membersOf(input);
  const find = async (name: string) => (access.mayAt(permission, name) ? findSettings(services, name) : null);
  const violations: Violation[] = [];
  if (multi_region !== true) {
    const detail = 'Only multi-Region keys have replicas: set it to true, or leave replicate_to out.';
    violations.push({ pointer: '/multi_region', code: 'incompatible', detail });
  }
  if (is_enabled === false) {
    const detail = 'KMS replicates only an enabled key: make the replicas first, and disable the keys then.';
    violations.push({ pointer: '/is_enabled', code: 'incompatible', detail });
  }
  const home = typeof provider === 'string' ? provider : standardProvider;
  const settingsOfHome = await find(home);
  if (settingsOfHome === null) return violations;
  const { region } = settingsOfHome;
  const primary = { region, partition: partitionOf(region), account: await accountAt(services, home) };
  const regions = new Map<string, string>();
  for (const [index, name] of names.entries()) {
    const pointer = `/replicate_to/${index}`;
    const settings = await find(name);
    if (settings === null) {
      violations.push({ pointer, code: 'not_found', detail: `There is no provider ${JSON.stringify(name)}.` });
      continue;
    }
    const before = regions.get(settings.region);
    regions.set(settings.region, name);
    const detail =
      before === undefined
        ? await faultOfPlace(services, { name, settings }, primary)
        : `Provider ${name} is for ${settings.region}, as ${before} is: KMS has one replica in a Region.`;
    if (detail !== null) violations.push({ pointer, code: 'incompatible', detail });
  }
  return violations;
}
