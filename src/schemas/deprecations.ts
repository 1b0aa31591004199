/** What goes, told first: docs/versioning.md. The document and the headers of answers both come of this table. */

export type Deprecation = {
  /** The day from which on nobody should begin to use it: YYYY-MM-DD. */
  since: string;
  /** The day from which on it may be gone, six months later at least. */
  until: string;
  /** What takes its place, in words. */
  instead: string;
};

/** By operationId. */
export type Deprecations = Readonly<Record<string, Deprecation>>;

export const deprecations: Deprecations = {};
