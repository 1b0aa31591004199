/**
 * A write that KMS confirmed and that changed nothing is not repeated at every look. Whether one was in vain is read off the
 * journal: it is the last one that should have put a difference right, was sent when the key read as it does now, and no look
 * since has shown the key to be as declared.
 */
import { isDeepStrictEqual } from 'node:util';
import { leftAlone } from './adoption.ts';
import { afterStep } from './after-step.ts';
import { aliasesOf } from './aliases.ts';
import { type DesiredKey, type ObservedKey, type ToldName, toldArguments, toldNames } from './arguments.ts';
import { argumentOf, differences } from './drift.ts';
import type { RecentWrite } from './recent-writes.ts';
import { tagIn } from './tags.ts';
import type { Difference } from './values.ts';

/** A difference that was put right in vain. */
export type InVain = {
  field: string;
  observed: Difference['observed'];
  /** The last write that should have put it right, and when KMS confirmed it. */
  operation: string;
  lastAt: Date;
  /** How often that was tried since the first write that was in vain. */
  since: Date;
  times: number;
};

export type Evidence = {
  /** KMS's confirmed writes to the key, newest first. */
  writes: RecentWrite[];
  /** Since when the difference is on record; null: the look before this one showed, or took, the key to be as declared. */
  knownSince: Date | null;
  /** When KMS was last looked at before this; null: never. */
  lookedAt: Date | null;
  now: Date;
  /** Milliseconds by which reads may be older than a write. */
  settle: number;
};

/** Whether a difference is one that KMS has been told to end, in vain; null: not as far as is known. */
export function inVain(
  desired: DesiredKey,
  read: ObservedKey,
  { field, observed }: Difference,
  { writes, knownSince, lookedAt, now, settle }: Evidence,
): InVain | null {
  const tries = triesFor(desired, read, field, writes);
  const [last] = tries;
  if (last === undefined) return null;
  const lastAt = last.finished_at;
  const visibleAt = lastAt.getTime() + settle;
  if (now.getTime() <= visibleAt) return null;
  // A look in between that showed the key as declared: the write had its effect, and somebody has changed the key since.
  const hadEffect = knownSince === null ? lookedAt !== null && lookedAt.getTime() > visibleAt : knownSince > lastAt;
  const ofToday = tries.filter(({ finished_at }) => finished_at.getTime() > now.getTime() - day);
  // A policy that comes and goes, each time the same, is shown so by KMS, or somebody insists: no write will end that.
  if (hadEffect && !(field === 'policy' && ofToday.length >= mostMends)) return null;
  const since = (hadEffect ? ofToday.at(-1)?.finished_at : knownSince) ?? lastAt;
  const times = tries.filter(({ finished_at }) => finished_at >= since).length;
  return { field, observed, operation: last.operation, lastAt, since, times };
}

const hour = 3_600_000;
const day = 24 * hour;
/** How often a day a policy is put right that comes back the same each time. */
const mostMends = 3;

/** When KMS is to be told again: after an hour, and then each time after twice as long, at most a day. */
export function nextTry({ lastAt, times }: Pick<InVain, 'lastAt' | 'times'>): Date {
  return new Date(lastAt.getTime() + Math.min(day, hour * 2 ** Math.min(times - 1, 5)));
}

/** The latest writes that changed the field, newest first, as long as each began where the key is now and should have led to what is declared. */
function triesFor(desired: DesiredKey, read: ObservedKey, field: string, writes: RecentWrite[]): RecentWrite[] {
  const seen = entry(desired, read, field);
  const tries: RecentWrite[] = [];
  for (const write of writes) {
    if (write.before === null) continue;
    const before = { ...read, ...write.before };
    const after = afterStep(before, write);
    const [started, ended] = [entry(desired, before, field), entry(desired, after, field)];
    if (isDeepStrictEqual(started, ended)) continue;
    if (ended !== undefined || !isDeepStrictEqual(started, seen)) break;
    tries.push(write);
  }
  return tries;
}

function entry(desired: DesiredKey, key: ObservedKey, field: string): Difference | undefined {
  return differences(desired, key).find((difference) => difference.field === field);
}

/** What is aimed at while some differences are left alone; null: nothing is, since the key's deletion is one of them. */
export function leavingAlone(desired: DesiredKey, read: ObservedKey, fields: readonly string[]): DesiredKey | null {
  if (fields.includes('key_state')) return null;
  const names = new Set(fields.map((field) => argumentOf({ field })));
  const shown = new Set(toldNames.filter((name) => names.has(name)).map((name) => toldArguments[name].shownIn));
  // What shows in one field is changed by the same calls.
  const left = toldNames.filter((name) => !isMany.has(name) && shown.has(toldArguments[name].shownIn));
  const tags = new Map(Object.entries(desired.tags_all));
  for (const field of fields) if (field.startsWith('tags.')) leaveTag(tags, read, field.slice('tags.'.length));
  const aliases = desired.aliases === null ? null : leavingNames(desired.aliases, read, fields);
  return { ...leftAlone(desired, read, left), tags_all: Object.fromEntries(tags), aliases };
}

/** What is many things under one name. */
const isMany = new Set<ToldName>(['tags', 'aliases']);

function leavingNames(declared: readonly string[], read: ObservedKey, fields: readonly string[]): string[] {
  const isLeft = (name: string) => fields.includes(`aliases.${name}`);
  return [...declared.filter((name) => !isLeft(name)), ...(aliasesOf(read) ?? []).filter(isLeft)];
}

function leaveTag(tags: Map<string, string>, read: ObservedKey, name: string): void {
  const value = tagIn(read.tags, name);
  if (value === null) tags.delete(name);
  else tags.set(name, value);
}
