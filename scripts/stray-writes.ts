/** Finds statements that write a table outside the one place that is to write it. */

/** A table, Prisma's name for it, and what the path of each file that may write it begins with. */
type Home = { table: string; model: string; path: string };

export const homes: readonly Home[] = [
  { table: 'events', model: 'event', path: 'src/services/history/log.ts' },
  { table: 'keys', model: 'key', path: 'src/services/rows/' },
  { table: 'work', model: 'work', path: 'src/services/rows/' },
  { table: 'errands', model: 'errand', path: 'src/services/rows/errands.ts' },
  { table: 'import_items', model: 'importItem', path: 'src/services/imports/rows/' },
];

/** @returns what is written where it should not be, one line each. */
export function strayWrites(path: string, source: string): string[] {
  return homes
    .filter((home) => !path.startsWith(home.path) && !path.startsWith('src/local/'))
    .flatMap((home) =>
      [...source.matchAll(writesOf(home))].map(({ 0: statement, index }) => {
        const line = source.slice(0, index).split('\n').length;
        return `${path}:${line}: ${statement.replaceAll(/\s+/g, ' ')}: ${home.table} are written in ${home.path} alone`;
      }),
    );
}

function writesOf({ table, model }: Home): RegExp {
  const byPrisma = String.raw`\b${model}\s*\.\s*(?:create|update|delete|upsert)\w*\s*\(`;
  const bySql = String.raw`\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE)\s+(?:ONLY\s+)?"?${table}"?\b`;
  return new RegExp(`${byPrisma}|${bySql}`, 'g');
}
