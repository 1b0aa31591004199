/** What tests of imports do again and again. */
import type { Import, ImportCreate, ImportItem } from '../../src/schemas/imports.ts';
import { type Call, eventually } from './service.ts';

export type Page<Item> = { items: Item[]; next_cursor: string | null };

/** Every key of an import, page by page. */
export async function itemsOf(call: Call, id: string, query = ''): Promise<ImportItem[]> {
  const items: ImportItem[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const from: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const page: Page<ImportItem> = (
      await call<Page<ImportItem>>('GET', `/v1/imports/${id}/items?limit=200${query}${from}`)
    ).body;
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  return items;
}

/** Waits until an import is over. */
export function ended(call: Call, id: string): Promise<Import> {
  return eventually(`import ${id} is over`, async () => {
    const { body } = await call<Import>('GET', `/v1/imports/${id}`);
    return body.state === 'running' ? undefined : body;
  });
}

/** Asks for an import, and waits until it is over. */
export async function importAll(call: Call, wanted: ImportCreate): Promise<{ import: Import; items: ImportItem[] }> {
  const { status, body } = await call<Import>('POST', '/v1/imports', wanted);
  if (status !== 202) throw new Error(`POST /v1/imports: ${status} ${JSON.stringify(body)}`);
  const over = await ended(call, body.id);
  return { import: over, items: await itemsOf(call, body.id) };
}
