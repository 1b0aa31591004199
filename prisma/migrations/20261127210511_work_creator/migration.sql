-- AlterTable
ALTER TABLE "work" ADD COLUMN     "creator" TEXT;

-- Of keys that are still to be made.
UPDATE "work" SET "creator" = "revisions"."actor"
FROM "keys" JOIN "revisions" ON "revisions"."key_ref" = "keys"."id" AND "revisions"."generation" = "keys"."generation"
WHERE "work"."key_ref" = "keys"."id" AND "keys"."key_id" IS NULL AND "keys"."lifecycle" = 'managed' AND "keys"."replacement" IS NULL;
