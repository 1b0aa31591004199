/** Where the service is, and how a program says which step of the main job is done. */

/** A variable that the test sets. */
function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

export const url = given('KEYWARD_URL');
export const token = given('KEYWARD_TOKEN');
/** The same service, with fields and values in its answers that today's document does not know. */
export const laterUrl = given('KEYWARD_LATER_URL');

/** @throws what the step throws; nothing comes after it then. */
export async function step(name: string, run: () => Promise<void>): Promise<void> {
  await run();
  console.log(`ok ${name}`);
}
