/** Figures out of samples, and lines out of figures. */

/** The q-quantile (0 to 1) of the samples, which need not be in order. */
export function quantile(samples: number[], q: number): number {
  const sorted = [...samples].sort((first, second) => first - second);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

export function median(samples: number[]): number {
  return quantile(samples, 0.5);
}

/** A figure beside its control. */
export function reportLine([name, figure, control, verdict]: [string, string, string, string]): string {
  return `${name.padEnd(26)}${figure.padStart(24)}${control.padStart(24)}   ${verdict}`;
}
