-- CreateIndex
CREATE INDEX CONCURRENTLY "keys_replica_of_idx" ON "keys"("replica_of");
