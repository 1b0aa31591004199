-- AlterTable
ALTER TABLE "keys" ADD COLUMN     "aliases" JSONB;
