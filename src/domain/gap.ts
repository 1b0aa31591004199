/** A gap: the database is not the one that was known, or not as new, as after a restored backup. */

/** What a look at the database shows of its identity and age; null: it can't be read. */
export type Sighting = {
  system_identifier: string | null;
  /** The ids of the database and of a table: a dump that is loaded has others. */
  tables: string;
  timeline: string | null;
  /** Bytes of write-ahead log that are safe on disk. */
  position: bigint | null;
  last_event: bigint;
  /** How many signs of life of the process that looks are on record; null: there is no record of it. */
  beats: number | null;
};

/** What is on record of the database, in itself. */
export type OnRecord = Pick<Sighting, 'system_identifier' | 'tables' | 'timeline'>;

/** Says why this is another database than the one on record; null: it is the same. */
export function gapToRecord(seen: OnRecord, recorded: OnRecord): string | null {
  if (differ(seen.system_identifier, recorded.system_identifier)) {
    return 'the system identifier of PostgreSQL changed: the database is another cluster';
  }
  if (seen.tables !== recorded.tables) return 'the tables were made anew: a dump was loaded';
  if (differ(seen.timeline, recorded.timeline)) {
    return `the timeline of PostgreSQL changed from ${recorded.timeline} to ${seen.timeline}: a standby was promoted, or a backup restored`;
  }
  return null;
}

/** Says why the database is older than what this process has seen of it; null: it is not. */
export function gapToMemory(seen: Sighting, remembered: Sighting): string | null {
  const changed = gapToRecord(seen, remembered);
  if (changed !== null) return changed;
  if (seen.position !== null && remembered.position !== null && seen.position < remembered.position) {
    return 'the write-ahead log of PostgreSQL went back: an earlier state of the database was put back';
  }
  if (seen.last_event < remembered.last_event) {
    return `the last event went back from ${remembered.last_event} to ${seen.last_event}: commits were lost`;
  }
  if (seen.beats !== null && remembered.beats !== null && seen.beats < remembered.beats) {
    return 'signs of life that a process had given are not on record: commits were lost';
  }
  return null;
}

function differ(one: string | null, other: string | null): boolean {
  return one !== null && other !== null && one !== other;
}

/** The number of the next generation: one of before a gap must not come back for another state. */
export function nextGeneration(generation: number, gap: number): number {
  return Math.max(generation + 1, gap);
}
