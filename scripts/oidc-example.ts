/** `npm run example:oidc`: an OIDC issuer on this machine, to try docs/access.md with. */
import { client, startOidcProvider } from '../test/support/oidc.ts';

const { issuer } = await startOidcProvider(Number(process.env['PORT'] ?? 3080));
process.stdout.write(`An OIDC issuer for trials on ${issuer}; its client: ${client.id}, ${client.secret}\n`);
