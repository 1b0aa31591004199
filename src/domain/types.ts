/** The vocabulary of the pure core. Field names are those of Terraform's `aws_kms_key`. */
export type { DesiredKey, ObservedKey } from './arguments.ts';
export type { CreateKeyParameters, Step } from './operations.ts';
export type * from './values.ts';
