/** Every scenario of the contract. */
import { createScenarios } from './create.ts';
import { deleteScenarios } from './delete.ts';
import { driftScenarios } from './drift.ts';
import { factScenarios } from './facts.ts';
import { importScenarios } from './import.ts';
import { keyStoreScenarios } from './key-stores.ts';
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
];
