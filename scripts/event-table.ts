/** The table of event types, out of their descriptions. */
import { eventTypes } from '../src/schemas/events.ts';

const section = /(<!-- events: [^\n]*-->\n)[\s\S]*?(<!-- \/events -->)/;

/** The page with its table of event types as it should be. @throws when the page has no place for one. */
export function withEvents(page: string): string {
  if (!section.test(page)) throw new Error('The page has no place for the events');
  return page.replace(section, (_all, start: string, end: string) => `${start}${eventTable()}${end}`);
}

function eventTable(): string {
  const rows = Object.entries(eventTypes).map(([type, { when, data }]) => {
    const members = Object.entries(data).map(([name, meaning]) => `\`${name}\`: ${meaning}`);
    return `| \`${type}\` | ${when} | ${members.join('<br>')} |`;
  });
  return `\n| \`type\` | when it is written | \`data\` |\n|---|---|---|\n${rows.join('\n')}\n\n`;
}
