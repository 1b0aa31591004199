/** How the SQL of a change of the schema is dealt to migrations. */

/**
 * What PostgreSQL can do beside the traffic is apart from what it does in one transaction: an index of a table that is there
 * already is built concurrently.
 * @param sql as Prisma's engine tells it: sections with a comment before each.
 */
export function splitMigration(sql: string): { suffix: '' | '_indexes'; sql: string }[] {
  const sections = sql.split(/\n{2,}/).map((section) => section.trim());
  const made = new Set(sections.flatMap((section) => /^CREATE TABLE ("[^"]+")/m.exec(section)?.[1] ?? []));
  const isOfOldTable = (section: string) => {
    const table = /^CREATE (?:UNIQUE )?INDEX "[^"]+" ON ("[^"]+")/m.exec(section)?.[1];
    return table !== undefined && !made.has(table);
  };
  const whole = sections.filter((section) => section !== '' && !isOfOldTable(section));
  const concurrent = sections
    .filter(isOfOldTable)
    .map((section) => section.replace(/^CREATE (UNIQUE )?INDEX /m, 'CREATE $1INDEX CONCURRENTLY '));
  const asFile = (parts: string[]) => `${parts.join('\n\n')}\n`;
  return [
    ...(whole.length === 0 ? [] : [{ suffix: '' as const, sql: asFile(whole) }]),
    ...(concurrent.length === 0 ? [] : [{ suffix: '_indexes' as const, sql: asFile(concurrent) }]),
  ];
}
