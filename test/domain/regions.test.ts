import { test } from 'tap';
import { isAwsEndpoint, partitionOf, regionPattern } from '../../src/domain/regions.ts';

test('every Region has a name of the pattern, also one that is not known yet, and a partition', async (t) => {
  const partitions = {
    'eu-west-1': 'aws',
    'mx-central-1': 'aws',
    'xx-newland-1': 'aws',
    'cn-northwest-1': 'aws-cn',
    'us-gov-east-1': 'aws-us-gov',
    'us-iso-west-1': 'aws-iso',
    'us-isob-east-1': 'aws-iso-b',
    'eu-isoe-west-1': 'aws-iso-e',
    'us-isof-south-1': 'aws-iso-f',
    'eusc-de-east-1': 'aws-eusc',
  };
  for (const [region, partition] of Object.entries(partitions)) {
    t.match(region, new RegExp(regionPattern));
    t.equal(partitionOf(region), partition, region);
  }
  for (const no of ['', 'mars', 'eu-west', 'EU-WEST-1', 'eu-west-1a', 'eu-west-1.evil.test']) {
    t.notMatch(no, new RegExp(regionPattern), no);
  }
});

test("AWS's own endpoints are told from others, in every partition", async (t) => {
  for (const url of [
    'https://kms.us-east-1.amazonaws.com',
    'https://vpce-0a1b2c3d-x.kms.eu-west-1.vpce.amazonaws.com/',
    'https://kms-fips.us-gov-west-1.api.aws:443',
    'https://kms.cn-north-1.amazonaws.com.cn.',
    'https://KMS.eusc-de-east-1.amazonaws.eu',
    'https://kms.us-iso-east-1.c2s.ic.gov',
  ]) {
    t.ok(isAwsEndpoint(url), url);
  }
  for (const url of [
    'http://127.0.0.1:4566',
    'http://localhost:4566',
    'https://kms.localhost.localstack.cloud',
    'https://amazonaws.com.example.test',
    'https://notamazonaws.com',
    'nonsense',
  ]) {
    t.notOk(isAwsEndpoint(url), url);
  }
});
