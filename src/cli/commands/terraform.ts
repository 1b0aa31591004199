/** keyward terraform: keys as a Terraform configuration. */
import type { Command } from 'commander';
import { act, type Context, leaf } from '../command.ts';
import { visibleLines } from '../io.ts';
import { findKey } from '../keys.ts';
import { rawAnswer, type Session } from '../session.ts';

async function terraform(session: Session, { provider }: { provider?: string }, key?: string): Promise<undefined> {
  const { io } = session;
  const query = provider === undefined ? '' : `?${new URLSearchParams({ provider })}`;
  const path =
    key === undefined ? `/v1/terraform${query}` : `/v1/keys/${(await findKey(session, key)).key.id}/terraform`;
  const text = await (await rawAnswer(session, path, { method: 'GET' })).text();
  io.stdout.write(io.stdout.isTTY ? visibleLines(text) : text);
}

export function addTerraform(context: Context, program: Command): void {
  const command = leaf(program, 'terraform [key]', {
    summary: 'Write a key, or all, as a Terraform configuration with import blocks',
    examples: ['keyward terraform > keys.tf'],
  }).option('--provider <name>', 'only keys of this account and Region');
  act<{ provider?: string }, [string?]>(context, command, terraform);
}
