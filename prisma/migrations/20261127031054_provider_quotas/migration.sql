-- AlterTable
ALTER TABLE "providers" ADD COLUMN     "quotas" JSONB;
