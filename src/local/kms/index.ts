/**
 * The local KMS: speaks to the unmodified AWS SDK as KMS does, keeps its keys on disk, and encrypts nothing. It is for
 * laptops and tests only: it has no key material, and it believes every caller.
 */
import { once } from 'node:events';
import { buildServer } from './server.ts';
import { type Settings, standardSettings } from './settings.ts';
import { Store } from './store.ts';

export type LocalKmsOptions = {
  /** Folder of the database; made if it is not there. */
  dataDir: string;
  host?: string;
  /** 0 picks a free one. */
  port?: number;
  settings?: Partial<Settings>;
};

export type LocalKms = { url: string; close(): Promise<void> };

/** Starts the local KMS. @throws when the port is taken (EADDRINUSE) or the folder can't be written. */
export async function startLocalKms({
  dataDir,
  host = '127.0.0.1',
  port = 0,
  settings,
}: LocalKmsOptions): Promise<LocalKms> {
  const store = new Store(dataDir);
  const server = buildServer(store, { ...standardSettings, ...settings });
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    store.close();
    throw error;
  }
  const address = server.address();
  const actualPort = address !== null && typeof address === 'object' ? address.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`,
    close: async () => {
      server.close();
      server.closeAllConnections();
      store.close();
    },
  };
}
