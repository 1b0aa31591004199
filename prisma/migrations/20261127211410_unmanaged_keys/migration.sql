-- AlterTable
ALTER TABLE "foreign_keys" ADD COLUMN     "aliases" JSONB,
ADD COLUMN     "creation_date" TIMESTAMPTZ(3),
ADD COLUMN     "customer_master_key_spec" TEXT,
ADD COLUMN     "deletion_date" TIMESTAMPTZ(3),
ADD COLUMN     "description" TEXT,
ADD COLUMN     "is_replica" BOOLEAN,
ADD COLUMN     "key_manager" TEXT,
ADD COLUMN     "key_state" TEXT,
ADD COLUMN     "key_usage" TEXT,
ADD COLUMN     "multi_region" BOOLEAN,
ADD COLUMN     "seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
ADD COLUMN     "tags_all" JSONB;

-- AlterTable
ALTER TABLE "providers" ADD COLUMN     "sweep_error" TEXT,
ADD COLUMN     "swept_at" TIMESTAMPTZ(3);

-- What was read of them before is not all that is on record from here on: they are read again.
UPDATE "foreign_keys" SET "checked_at" = 'epoch';
