/** GetCallerIdentity in the query protocol. Source: AWS STS API reference. */
import { randomUUID } from 'node:crypto';
import type { Caller } from './context.ts';

const namespace = 'https://sts.amazonaws.com/doc/2011-06-15/';

/** @param form the form-encoded body. @returns the status and the XML to answer with. */
export function answerSts(caller: Caller, form: string): { status: number; xml: string } {
  const action = new URLSearchParams(form).get('Action');
  const metadata = `<ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata>`;
  if (action !== 'GetCallerIdentity') {
    const error =
      '<Type>Sender</Type><Code>InvalidAction</Code><Message>The local KMS answers GetCallerIdentity only</Message>';
    return { status: 400, xml: `<ErrorResponse xmlns="${namespace}"><Error>${error}</Error></ErrorResponse>` };
  }
  const { account, arn } = caller;
  const identity = `<Arn>${arn}</Arn><UserId>AIDALOCALKMSUSER00000</UserId><Account>${account}</Account>`;
  const result = `<GetCallerIdentityResult>${identity}</GetCallerIdentityResult>`;
  return {
    status: 200,
    xml: `<GetCallerIdentityResponse xmlns="${namespace}">${result}${metadata}</GetCallerIdentityResponse>`,
  };
}
