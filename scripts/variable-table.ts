/** The table of environment variables, out of their definitions. */
import { variables } from '../src/variables.ts';

const section = /(<!-- variables: [^\n]*-->\n)[\s\S]*?(<!-- \/variables -->)/;

/** The page with its table of variables as it should be. @throws when the page has no place for one. */
export function withVariables(page: string): string {
  if (!section.test(page)) throw new Error('The page has no place for the variables');
  return page.replace(section, (_all, start: string, end: string) => `${start}${variableTable()}${end}`);
}

function variableTable(): string {
  const rows = Object.entries(variables).map(
    ([name, { default: standard, expected, meaning }]) =>
      `| \`${name}\` | ${standard === null ? 'unset' : `\`${standard}\``} | ${expected} | ${meaning} |`,
  );
  return `\n| variable | default | values | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n\n`;
}
