/**
 * The control of the refresh benchmark: the bare SDK makes the same reads, as many keys at once, and does nothing else.
 * Takes key ids as a JSON array on standard input; prints the seconds that it took, and those of CPU.
 */
import { json } from 'node:stream/consumers';
import {
  DescribeKeyCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  KMSClient,
  ListResourceTagsCommand,
} from '@aws-sdk/client-kms';

const keyIds = (await json(process.stdin)) as string[];
const atOnce = Number(process.env['KEYS_AT_ONCE']);
const endpoint = process.env['KMS_ENDPOINT'] ?? '';
const kms = new KMSClient({
  endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: '111122223333', secretAccessKey: 'secret' },
  // As Keyward's own client.
  requestHandler: { httpAgent: { maxSockets: 200, keepAlive: true } },
});

async function readOneAfterTheOther(): Promise<void> {
  for (let KeyId = keyIds.pop(); KeyId !== undefined; KeyId = keyIds.pop()) {
    await kms.send(new DescribeKeyCommand({ KeyId }));
    await Promise.all([
      kms.send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'default' })),
      kms.send(new ListResourceTagsCommand({ KeyId })),
      kms.send(new GetKeyRotationStatusCommand({ KeyId })),
    ]);
  }
}

const start = performance.now();
const cpu = process.cpuUsage();
await Promise.all(Array.from({ length: atOnce }, readOneAfterTheOther));
const { user, system } = process.cpuUsage(cpu);
process.stdout.write(`${(performance.now() - start) / 1000} ${(user + system) / 1e6}\n`);
