-- DropIndex
DROP INDEX "keys_arn_key";
