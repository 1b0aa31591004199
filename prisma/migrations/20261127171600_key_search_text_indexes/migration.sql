-- CreateIndex
CREATE INDEX CONCURRENTLY "keys_search_text_idx" ON "keys" USING GIN (key_search_text("description", "arn", "key_id", "tags_all") gin_trgm_ops);
