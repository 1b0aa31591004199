-- DropIndex
DROP INDEX "keys_provider_idx";

-- CreateTable
CREATE TABLE "provider_changes" (
    "provider" TEXT NOT NULL,
    "reached" UUID NOT NULL,
    "tags" BOOLEAN NOT NULL,
    "hastens" BOOLEAN NOT NULL,

    CONSTRAINT "provider_changes_pkey" PRIMARY KEY ("provider")
);

-- CreateIndex
CREATE INDEX "keys_provider_id_idx" ON "keys"("provider", "id");
