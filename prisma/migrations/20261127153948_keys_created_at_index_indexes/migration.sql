-- CreateIndex
CREATE INDEX CONCURRENTLY "keys_created_at_id_idx" ON "keys"("created_at", "id");
