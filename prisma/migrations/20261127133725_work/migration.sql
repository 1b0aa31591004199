-- What a key waits for, and when KMS was last asked, goes to a narrow row of its own.

-- CreateTable
CREATE TABLE "work" (
    "key_ref" UUID NOT NULL,
    "provider" TEXT NOT NULL,
    "asked" INTEGER NOT NULL DEFAULT 0,
    "requested_observation" INTEGER NOT NULL DEFAULT 0,
    "served_observation" INTEGER NOT NULL DEFAULT 0,
    "enforce_through" INTEGER NOT NULL DEFAULT 0,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "gap_seen" INTEGER NOT NULL DEFAULT 0,
    "gap_checked" INTEGER NOT NULL DEFAULT 0,
    "writes_open" BOOLEAN NOT NULL DEFAULT false,
    "rotations_open" BOOLEAN NOT NULL DEFAULT false,
    "former_keys_open" BOOLEAN NOT NULL DEFAULT false,
    "status_version" INTEGER NOT NULL DEFAULT 0,
    "due_at" TIMESTAMPTZ(3),
    "last_observed_at" TIMESTAMPTZ(3),
    "last_synced_at" TIMESTAMPTZ(3),
    "lease_until" TIMESTAMPTZ(3),
    "lease_token" UUID,

    CONSTRAINT "work_pkey" PRIMARY KEY ("key_ref")
) WITH (fillfactor = 80);

-- Nobody syncs a key by the columns of before while its row here is not there.
LOCK TABLE "keys" IN ACCESS EXCLUSIVE MODE;

INSERT INTO "work" (
    key_ref, provider, due_at, requested_observation, served_observation, enforce_through, attempts, status_version, gap_seen,
    gap_checked, writes_open, rotations_open, former_keys_open, last_observed_at, last_synced_at, lease_until, lease_token)
SELECT id, provider, due_at, requested_observation, served_observation, enforce_through, attempts, status_version, gap_seen,
    gap_checked, writes_open, rotations_open, former_keys_open, last_observed_at, last_synced_at, lease_until, lease_token
FROM "keys";

-- CreateIndex
CREATE INDEX "work_due_at_idx" ON "work"("due_at");

-- CreateIndex
CREATE INDEX "work_gap_seen_idx" ON "work"("gap_seen");

-- AddForeignKey
ALTER TABLE "work" ADD CONSTRAINT "work_key_ref_fkey" FOREIGN KEY ("key_ref") REFERENCES "keys"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- DropIndex
DROP INDEX "keys_due_at_idx";

-- DropIndex
DROP INDEX "keys_gap_seen_idx";

-- AlterTable
ALTER TABLE "keys" DROP COLUMN "attempts",
DROP COLUMN "due_at",
DROP COLUMN "enforce_through",
DROP COLUMN "former_keys_open",
DROP COLUMN "gap_checked",
DROP COLUMN "gap_seen",
DROP COLUMN "last_observed_at",
DROP COLUMN "last_synced_at",
DROP COLUMN "lease_token",
DROP COLUMN "lease_until",
DROP COLUMN "requested_observation",
DROP COLUMN "rotations_open",
DROP COLUMN "served_observation",
DROP COLUMN "status_version",
DROP COLUMN "tags_version",
DROP COLUMN "writes_open";
