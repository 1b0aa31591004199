-- CreateTable
CREATE TABLE "foreign_keys" (
    "provider" TEXT NOT NULL,
    "key_id" TEXT NOT NULL,
    "arn" TEXT NOT NULL,
    "claimed_id" TEXT,
    "first_seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "checked_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "sweep" UUID NOT NULL,

    CONSTRAINT "foreign_keys_pkey" PRIMARY KEY ("provider","key_id")
);
