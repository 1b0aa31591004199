/** What a write would do, without doing it. */
import { type Static, Type } from 'typebox';
import { InputError, nullable, ref } from './common.ts';
import { Changes, Fields } from './history.ts';
import { Drift } from './key.ts';

export const PlanStep = Type.Object(
  {
    operation: Type.String({ description: "KMS's operation.", examples: ['CreateKey', 'PutKeyPolicy'] }),
    parameters: ref(Fields, {
      description:
        "KMS's own parameters, as they would be sent. The id of a key that does not exist yet stands as `<key_id>`, that of its record as `<id>`.",
    }),
    field: nullable(Type.String({ description: 'The argument that the step brings in line; null: all of them.' })),
  },
  { $id: 'PlanStep', description: 'One call to KMS.' },
);

export const PlanRefusal = Type.Object(
  {
    operation: Type.String({ description: "KMS's operation." }),
    field: nullable(Type.String({ description: 'The argument that it is about; null: none alone.' })),
    code: Type.String({
      description: "KMS's error; DeletionProtection: Keyward's own.",
      examples: ['UnsupportedOperationException'],
    }),
    detail: Type.String({ description: 'Why KMS would refuse it.' }),
  },
  { $id: 'PlanRefusal', description: 'A call that would be refused.' },
);

export const Plan = Type.Object(
  {
    steps: Type.Array(ref(PlanStep), {
      description: 'The KMS calls, in order; with `replacement`, those of a replace.',
    }),
    changes: ref(Changes, { description: 'How the desired state would change, by field.' }),
    replacement: Type.Array(ref(InputError), {
      description: 'Fields that KMS fixes when a key is made: PATCH refuses them, POST …/replace makes a new KMS key.',
    }),
    refusals: Type.Array(ref(PlanRefusal), {
      description:
        'What KMS would refuse, as far as that can be known beforehand; what deletion_protection would, too.',
    }),
    drift: Type.Array(ref(Drift), { description: 'In what KMS differs from the desired state now.' }),
  },
  { $id: 'Plan', description: 'What a write would do.' },
);

export type Plan = Static<typeof Plan>;
export type PlanRefusal = Static<typeof PlanRefusal>;

export const planSchemas = [PlanStep, PlanRefusal, Plan];
