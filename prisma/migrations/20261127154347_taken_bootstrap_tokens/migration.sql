-- CreateTable
CREATE TABLE "taken_bootstrap_tokens" (
    "digest" TEXT NOT NULL,
    "taken_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

CONSTRAINT "taken_bootstrap_tokens_pkey" PRIMARY KEY ("digest")
);

-- Those that were taken before this table was there.
INSERT INTO "taken_bootstrap_tokens" ("digest", "taken_at")
SELECT "digest", "created_at" FROM "api_tokens" WHERE "created_by" = 'keyward';
