/** Every scenario of the contract. */
import { aliasScenarios } from './aliases.ts';
import { createScenarios } from './create.ts';
import { deleteScenarios } from './delete.ts';
import { driftScenarios } from './drift.ts';
import { factScenarios } from './facts.ts';
import { grantScenarios } from './grants.ts';
import { importScenarios } from './import.ts';
import { keyStoreScenarios } from './key-stores.ts';
import { multiRegionScenarios } from './multi-region.ts';
import type { Scenario } from './scenario.ts';
import { updateScenarios } from './update.ts';

export const allScenarios: Scenario[] = [
  ...createScenarios,
  ...updateScenarios,
  ...deleteScenarios,
  ...importScenarios,
  ...driftScenarios,
  ...keyStoreScenarios,
  ...factScenarios,
  ...aliasScenarios,
  ...multiRegionScenarios,
  ...grantScenarios,
];
