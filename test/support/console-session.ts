/** Sessions in the documentation: commands after `$ `, each with the answer that it shows. */

export type Exchange = { command: string; answer: string };

/** The exchanges of every ```console block of a page, in order. */
export function readSession(page: string): Exchange[] {
  const blocks = [...page.matchAll(/```console\n([\s\S]*?)```/g)].map(([, block = '']) => block);
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((part) => {
        const [command = '', ...answer] = part.split('\n');
        return { command, answer: answer.join('\n').trim() };
      }),
  );
}

/**
 * A shown answer as a value that the real one must have in it: `…` is left out, and what differs from run to run is
 * replaced by its kind.
 */
export function shownAnswer(answer: string): unknown {
  return JSON.parse(withoutVolatile(answer.replaceAll(/,?\s*…,?/g, '')));
}

/** A real answer, with what differs from run to run replaced by its kind. */
export function realAnswer(output: string): unknown {
  return JSON.parse(withoutVolatile(output));
}

function withoutVolatile(text: string): string {
  return text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'uuid')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, 'time');
}
