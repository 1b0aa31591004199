-- AlterTable
ALTER TABLE "keys" ADD COLUMN     "gap_checked" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "gap_found" JSON,
ADD COLUMN     "gap_seen" INTEGER NOT NULL DEFAULT 0;

-- AlterTable
ALTER TABLE "workers" ADD COLUMN     "beats" INTEGER NOT NULL DEFAULT 0;

-- CreateTable
CREATE TABLE "installation" (
    "id" INTEGER NOT NULL,
    "system_identifier" TEXT,
    "tables" TEXT NOT NULL,
    "timeline" TEXT,
    "alive_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "gap" INTEGER NOT NULL DEFAULT 0,
    "reason" TEXT,
    "since" TIMESTAMPTZ(3),

    CONSTRAINT "installation_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "keys_gap_seen_idx" ON "keys"("gap_seen");
