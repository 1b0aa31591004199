-- CreateIndex
CREATE UNIQUE INDEX CONCURRENTLY "keys_live_arn_key" ON "keys"("arn") WHERE state <> 'deleted';

-- CreateIndex
CREATE INDEX CONCURRENTLY "keys_arn_idx" ON "keys"("arn");
