-- CreateIndex
CREATE INDEX CONCURRENTLY "events_type_seq_idx" ON "events"("type", "seq");

-- Few events are a provider's: those of keys have none, and no place here.
CREATE INDEX CONCURRENTLY "events_provider_seq_idx" ON "events"("provider", "seq") WHERE "provider" IS NOT NULL;
