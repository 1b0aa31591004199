-- CreateTable
CREATE TABLE "imports" (
    "id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "provider" TEXT,
    "filters" JSONB,
    "drift_policy" TEXT,
    "dry_run" BOOLEAN NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'running',
    "error" JSON,
    "is_listed" BOOLEAN NOT NULL DEFAULT false,
    "marker" TEXT,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "due_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lease_token" UUID,
    "lease_until" TIMESTAMPTZ(3),
    "actor" TEXT NOT NULL,
    "principal" TEXT NOT NULL,
    "subject" JSONB,
    "on_behalf_of" TEXT,
    "address" TEXT,
    "user_agent" TEXT,
    "request_id" TEXT NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),

CONSTRAINT "imports_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "import_items" (
    "import_id" UUID NOT NULL,
    "position" INTEGER NOT NULL,
    "source" TEXT NOT NULL,
    "provider" TEXT,
    "arn" TEXT,
    "stated" JSON,
    "outcome" TEXT NOT NULL DEFAULT 'waiting',
    "reason" JSON,
    "key_ref" UUID,
    "declared" JSON,
    "differences" JSON,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "due_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lease_token" UUID,
    "lease_until" TIMESTAMPTZ(3),
    "settled_at" TIMESTAMPTZ(3),

CONSTRAINT "import_items_pkey" PRIMARY KEY ("import_id","position")
);

-- CreateIndex
CREATE INDEX "imports_state_idx" ON "imports"("state");

-- CreateIndex
CREATE INDEX "imports_finished_at_idx" ON "imports"("finished_at");

-- CreateIndex
CREATE INDEX "import_items_import_id_outcome_position_idx" ON "import_items"("import_id", "outcome", "position");

-- CreateIndex
CREATE INDEX "import_items_import_id_arn_idx" ON "import_items"("import_id", "arn");

-- AddForeignKey
ALTER TABLE "import_items" ADD CONSTRAINT "import_items_import_id_fkey" FOREIGN KEY ("import_id") REFERENCES "imports"("id") ON DELETE CASCADE ON UPDATE CASCADE;
