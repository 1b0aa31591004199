-- AlterTable
ALTER TABLE "keys" ADD COLUMN     "default_tags_due" JSONB,
ADD COLUMN     "tags_version" INTEGER NOT NULL DEFAULT 0;

-- AlterTable
ALTER TABLE "events" ADD COLUMN     "provider" TEXT,
ALTER COLUMN "key_ref" DROP NOT NULL;

-- CreateTable
CREATE TABLE "providers" (
    "name" TEXT NOT NULL,
    "region" TEXT NOT NULL,
    "endpoint" TEXT,
    "assume_role" JSONB,
    "allowed_account_ids" JSONB NOT NULL,
    "default_tags" JSONB NOT NULL,
    "ignore_tags" JSONB NOT NULL,
    "drift_policy" TEXT NOT NULL,
    "refresh_interval_seconds" INTEGER NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "tags_changed_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "providers_pkey" PRIMARY KEY ("name")
);

-- CreateIndex
CREATE INDEX "keys_provider_idx" ON "keys"("provider");
