/** What every service works with, at one provider: what is taken for stale goes by its settings. */
import type { Services } from '../context.ts';
import type { Quoted } from '../provider-rules.ts';

/** The services for work at one provider: what they take for stale is by its settings. */
export function servicesWith(services: Services, settings: Quoted): Services {
  const times = { ...services.times, settle: services.rules.settling(settings) };
  return Object.create(services, { times: { value: times } });
}
