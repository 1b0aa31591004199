/** Regions and the partitions that they are in. Source: the endpoint rules of the AWS SDK. */

/** What a Region's name looks like, those that are not known yet too. */
export const regionPattern = '^[a-z]{2,}(-[a-z]+)+-\\d+$';

/** It is a part of host names. Source: RFC 1035, 2.3.4. */
export const longestRegion = 63;

/** By how the names of their Regions begin. */
const partitions: readonly (readonly [prefix: string, partition: string])[] = [
  ['cn-', 'aws-cn'],
  ['us-gov-', 'aws-us-gov'],
  ['us-iso-', 'aws-iso'],
  ['us-isob-', 'aws-iso-b'],
  ['eu-isoe-', 'aws-iso-e'],
  ['us-isof-', 'aws-iso-f'],
  ['eusc-', 'aws-eusc'],
];

/** The partition of a Region, which the ARNs of all that is in it carry; of one that is not known, `aws`. */
export function partitionOf(region: string): string {
  return partitions.find(([prefix]) => region.startsWith(prefix))?.[1] ?? 'aws';
}

/** The partition that an ARN names. */
export function partitionIn(arn: string): string {
  return arn.split(':')[1] ?? '';
}

/** What the names of AWS's hosts end with, in every partition, over IPv4 and IPv6. */
const awsSuffixes = [
  'amazonaws.com',
  'amazonaws.com.cn',
  'amazonaws.eu',
  'c2s.ic.gov',
  'sc2s.sgov.gov',
  'cloud.adc-e.uk',
  'csp.hci.ic.gov',
  'api.aws',
  'api.amazonwebservices.com.cn',
  'api.amazonwebservices.eu',
  'api.aws.ic.gov',
  'api.aws.scloud',
  'api.cloud-aws.adc-e.uk',
  'api.aws.hci.ic.gov',
];

/** Whether an endpoint is AWS's own; a VPC endpoint is. */
export function isAwsEndpoint(url: string): boolean {
  const host = URL.parse(url)?.hostname.replace(/\.$/, '') ?? '';
  return awsSuffixes.some((suffix) => host.endsWith(`.${suffix}`));
}

/**
 * Whether a host is AWS's KMS, or a VPC endpoint of it. Others of AWS's hosts are rented to anybody: buckets, gateways, machines.
 * Source: https://docs.aws.amazon.com/general/latest/gr/kms.html
 */
export function isAwsKmsHost(host: string): boolean {
  const suffix = awsSuffixes.find((one) => host.endsWith(`.${one}`));
  if (suffix === undefined) return false;
  const name = host.slice(0, -suffix.length - 1);
  const [, region] = /^(?:[a-z0-9-]+\.)?kms(?:-fips)?\.([a-z0-9-]+)(?:\.vpce)?$/.exec(name) ?? [];
  // kms.s3 is somebody's bucket.
  return region !== undefined && new RegExp(regionPattern).test(region);
}
