-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateTable
CREATE TABLE "keys" (
    "id" UUID NOT NULL,
    "provider" TEXT NOT NULL,
    "arn" TEXT,
    "key_id" TEXT,
    "description" TEXT NOT NULL,
    "key_usage" TEXT NOT NULL,
    "customer_master_key_spec" TEXT NOT NULL,
    "custom_key_store_id" TEXT,
    "xks_key_id" TEXT,
    "multi_region" BOOLEAN NOT NULL,
    "policy" JSON,
    "bypass_policy_lockout_safety_check" BOOLEAN NOT NULL,
    "deletion_window_in_days" INTEGER NOT NULL,
    "is_enabled" BOOLEAN NOT NULL,
    "enable_key_rotation" BOOLEAN NOT NULL,
    "rotation_period_in_days" INTEGER,
    "tags" JSONB NOT NULL,
    "tags_all" JSONB NOT NULL,
    "drift_policy" TEXT NOT NULL,
    "deletion_protection" BOOLEAN NOT NULL,
    "lifecycle" TEXT NOT NULL,
    "pending_window_in_days" INTEGER,
    "state" TEXT NOT NULL,
    "generation" INTEGER NOT NULL DEFAULT 1,
    "synced_generation" INTEGER NOT NULL DEFAULT 0,
    "status_version" INTEGER NOT NULL DEFAULT 0,
    "observed" JSON,
    "key_state" TEXT,
    "drift" JSON NOT NULL DEFAULT '[]',
    "error" JSON,
    "deletion_date" TIMESTAMPTZ(3),
    "last_observed_at" TIMESTAMPTZ(3),
    "last_synced_at" TIMESTAMPTZ(3),
    "requested_observation" INTEGER NOT NULL DEFAULT 0,
    "served_observation" INTEGER NOT NULL DEFAULT 0,
    "enforce_through" INTEGER NOT NULL DEFAULT 0,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "writes_open" BOOLEAN NOT NULL DEFAULT false,
    "due_at" TIMESTAMPTZ(3),
    "lease_token" UUID,
    "lease_until" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "revisions" (
    "key_ref" UUID NOT NULL,
    "generation" INTEGER NOT NULL,
    "desired" JSON NOT NULL,
    "changes" JSON NOT NULL,
    "origin" TEXT NOT NULL,
    "actor" TEXT NOT NULL,
    "request_id" TEXT NOT NULL,
    "outcome" TEXT NOT NULL DEFAULT 'pending',
    "error" JSON,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "settled_at" TIMESTAMPTZ(3),

    CONSTRAINT "revisions_pkey" PRIMARY KEY ("key_ref","generation")
);

-- CreateTable
CREATE TABLE "events" (
    "seq" BIGSERIAL NOT NULL,
    "key_ref" UUID NOT NULL,
    "type" TEXT NOT NULL,
    "generation" INTEGER NOT NULL,
    "actor" TEXT NOT NULL,
    "request_id" TEXT,
    "data" JSON NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "events_pkey" PRIMARY KEY ("seq")
);

-- CreateTable
CREATE TABLE "kms_writes" (
    "id" UUID NOT NULL,
    "key_ref" UUID NOT NULL,
    "generation" INTEGER NOT NULL,
    "operation" TEXT NOT NULL,
    "parameters" JSON NOT NULL,
    "lease_token" UUID NOT NULL,
    "planned_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "lands_until" TIMESTAMPTZ(3) NOT NULL,
    "outcome" TEXT,
    "error" JSON,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "kms_writes_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "keys_arn_key" ON "keys"("arn");

-- CreateIndex
CREATE INDEX "keys_due_at_idx" ON "keys"("due_at");

-- CreateIndex
CREATE INDEX "keys_state_idx" ON "keys"("state");

-- CreateIndex
CREATE INDEX "keys_key_id_idx" ON "keys"("key_id");

-- CreateIndex
CREATE INDEX "keys_tags_all_idx" ON "keys" USING GIN ("tags_all");

-- CreateIndex
CREATE INDEX "events_key_ref_seq_idx" ON "events"("key_ref", "seq");

-- CreateIndex
CREATE INDEX "kms_writes_key_ref_outcome_idx" ON "kms_writes"("key_ref", "outcome");
