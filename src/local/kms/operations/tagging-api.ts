/** GetResources of the Resource Groups Tagging API, for keys only. Source: its API reference. */
import type { Operation } from '../context.ts';
import { keyArn } from '../keys.ts';
import { optionalString } from '../parameters.ts';

type Filter = { Key?: string; Values?: string[] };

const pageSize = 100;

const getResources: Operation = ({ store, caller }, parameters) => {
  const filters = (parameters['TagFilters'] ?? []) as Filter[];
  const types = (parameters['ResourceTypeFilters'] ?? ['kms:key']) as string[];
  if (!types.some((type) => type === 'kms' || type === 'kms:key')) return emptyPage;
  let after = optionalString(parameters, 'PaginationToken', { max: 2048 }) ?? '';
  const found: object[] = [];
  for (;;) {
    const ids = store.listKeyIds(caller, after, pageSize);
    for (const keyId of ids) {
      after = keyId;
      const tags = store.findKey(caller, keyId)?.tags ?? [];
      if (!filters.every((filter) => matches(filter, tags))) continue;
      const Tags = tags.map(([Key, Value]) => ({ Key, Value }));
      found.push({ ResourceARN: keyArn(caller, keyId), Tags });
      if (found.length === pageSize) return { ResourceTagMappingList: found, PaginationToken: keyId };
    }
    if (ids.length < pageSize) return { ...emptyPage, ResourceTagMappingList: found };
  }
};

const emptyPage = { ResourceTagMappingList: [], PaginationToken: '' };

function matches({ Key, Values = [] }: Filter, tags: [string, string][]): boolean {
  return tags.some(([name, value]) => name === Key && (Values.length === 0 || Values.includes(value)));
}

export const taggingOperations: Record<string, Operation> = { GetResources: getResources };
