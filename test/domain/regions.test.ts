import { test } from 'tap';
import { partitionOf, regionPattern } from '../../src/domain/regions.ts';

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
