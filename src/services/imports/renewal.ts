/** Keeps what was taken of an import for as long as it is worked on. */

const renewals = 3;

/**
 * @param lease milliseconds for which what was taken is kept. @param renew keeps it so long again; one that fails is tried anew.
 */
export async function whileRenewed<Done>(
  lease: number,
  renew: () => Promise<void>,
  work: () => Promise<Done>,
): Promise<Done> {
  const timer = setInterval(() => renew().catch(() => {}), lease / renewals);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
