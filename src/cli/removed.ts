/** Terraform's `removed` blocks for keys that were imported out of its state. */
import type { Item } from './imports.ts';

/** The instance that an address names, as a number or as a quoted text. */
const index = /\[(?:\d+|"(?:[^"\\]|\\.)*")\]/g;

const taken = new Set(['imported', 'already_managed']);

/** Objects of a state that are no keys of Terraform's to let go of. */
const elsewhere = new Set(['data_source', 'deposed']);

/** A `removed` block names a resource with all its instances: of some it can't let go. */
export function removedBlocks(items: Item[]): string {
  const resources = new Map<string, { isTaken: boolean }>();
  for (const { source, outcome, reason } of items) {
    if (elsewhere.has(reason?.code ?? '')) continue;
    const resource = source.replaceAll(index, '');
    const isTaken = taken.has(outcome) && (resources.get(resource)?.isTaken ?? true);
    resources.set(resource, { isTaken });
  }
  return [...resources].map(([resource, { isTaken }]) => (isTaken ? blockOf(resource) : leftOf(resource))).join('\n');
}

const blockOf = (resource: string) => `removed {
  from = ${resource}
  lifecycle {
    destroy = false
  }
}
`;

const leftOf = (resource: string) => `# ${resource} stays with Terraform: not all of its keys were imported.\n`;
