-- AlterTable
ALTER TABLE "keys" ADD COLUMN     "former_keys_open" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN     "replacement" TEXT,
ADD COLUMN     "rotations_open" BOOLEAN NOT NULL DEFAULT false;

-- AlterTable
ALTER TABLE "revisions" ADD COLUMN     "policy_before" JSON;

-- CreateTable
CREATE TABLE "former_keys" (
    "id" UUID NOT NULL,
    "key_ref" UUID NOT NULL,
    "key_id" TEXT NOT NULL,
    "arn" TEXT NOT NULL,
    "generation" INTEGER NOT NULL,
    "reason" TEXT NOT NULL,
    "window_in_days" INTEGER NOT NULL,
    "deletion" TEXT NOT NULL,
    "deletion_date" TIMESTAMPTZ(3),
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "former_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "on_demand_rotations" (
    "id" UUID NOT NULL,
    "key_ref" UUID NOT NULL,
    "actor" TEXT NOT NULL,
    "request_id" TEXT NOT NULL,
    "count_before" INTEGER,
    "lands_until" TIMESTAMPTZ(3),
    "outcome" TEXT NOT NULL DEFAULT 'pending',
    "error" JSON,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "settled_at" TIMESTAMPTZ(3),

    CONSTRAINT "on_demand_rotations_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "former_keys_key_id_idx" ON "former_keys"("key_id");

-- CreateIndex
CREATE UNIQUE INDEX "former_keys_key_ref_key_id_key" ON "former_keys"("key_ref", "key_id");

-- CreateIndex
CREATE INDEX "on_demand_rotations_key_ref_outcome_idx" ON "on_demand_rotations"("key_ref", "outcome");
