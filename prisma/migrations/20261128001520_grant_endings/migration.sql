-- AlterTable
ALTER TABLE "work" ADD COLUMN     "grants_open" BOOLEAN NOT NULL DEFAULT false;

-- CreateTable
CREATE TABLE "grant_endings" (
    "id" UUID NOT NULL,
    "key_ref" UUID NOT NULL,
    "operation" TEXT NOT NULL,
    "grant_id" TEXT NOT NULL,
    "actor" TEXT NOT NULL,
    "request_id" TEXT NOT NULL,
    "outcome" TEXT NOT NULL DEFAULT 'pending',
    "error" JSON,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "settled_at" TIMESTAMPTZ(3),

CONSTRAINT "grant_endings_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "grant_endings_key_ref_outcome_idx" ON "grant_endings"("key_ref", "outcome");
