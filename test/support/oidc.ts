/** A real OIDC server from npm, as an issuer of access tokens that are JWTs (RFC 9068): for a test, and to try docs/access.md with. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';

/** The client that signs in with its own secret. */
export const client = { id: 'portal', secret: 'secret' };

/** @returns where it is, and what stops it. */
export async function startOidcProvider(port = 0): Promise<{ issuer: string; stop(): void }> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: async (_context: object, audience: string) => ({
          scope: 'keys',
          audience,
          accessTokenFormat: 'jwt' as const,
        }),
      },
    },
    extraTokenClaims: async () => ({ groups: ['payments'], roles: ['portals'] }),
  });
  server.on('request', provider.callback());
  return {
    issuer,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
