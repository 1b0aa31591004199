/** Takes state files of Terraform as bodies: each is read as it comes, and none is ever in memory as a whole. */
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { largestState, stateType } from '../schemas/imports.ts';
import { IncomingState } from '../services/imports/state-file.ts';
import type { StateFile } from '../services/imports/state-reader.ts';
import { ProblemError } from '../services/problems.ts';

/** State files that a process reads at once, and those of one caller among them: to read one takes time from everybody. */
const mostAtOnce = 4;
const mostOfCaller = 2;
const retrySeconds = 5;

/** Lets the routes of this instance take state files. */
export function acceptStates(app: FastifyInstance): void {
  const readers: string[] = [];
  app.addContentTypeParser(stateType, async ({ caller }: FastifyRequest, body: Readable) => {
    const reader = caller?.principal ?? '';
    if (readers.length >= mostAtOnce || readers.filter((one) => one === reader).length >= mostOfCaller) {
      const detail = 'Other state files are being read. Nothing was recorded: try again in a moment.';
      throw new ProblemError('temporarily-unavailable', detail, { retryAfter: retrySeconds });
    }
    readers.push(reader);
    try {
      return await read(body);
    } finally {
      readers.splice(readers.indexOf(reader), 1);
    }
  });
}

/** What is wrong is told once all has come: a client that is still sending would not read it. @throws ProblemError */
async function read(body: Readable): Promise<StateFile> {
  const state = new IncomingState();
  let size = 0;
  let fault: unknown = null;
  // The connection is left as it is: the answer has to go by it.
  const parts: AsyncIterable<Buffer> = body.iterator({ destroyOnReturn: false });
  for await (const bytes of parts) {
    size += bytes.length;
    if (size > largestState) {
      throw new ProblemError('body-too-large', `A state file has ${largestState} bytes at most.`);
    }
    if (fault !== null) continue;
    try {
      state.push(bytes);
    } catch (error) {
      fault = error;
    }
  }
  if (fault !== null) throw fault;
  return state.end();
}
