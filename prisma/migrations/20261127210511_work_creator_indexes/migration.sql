-- CreateIndex
CREATE INDEX CONCURRENTLY "work_provider_creator_attempts_due_at_idx" ON "work"("provider", "creator", "attempts", "due_at") WHERE "creator" IS NOT NULL;
