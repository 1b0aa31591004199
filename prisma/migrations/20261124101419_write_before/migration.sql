-- AlterTable
ALTER TABLE "kms_writes" ADD COLUMN     "before" JSON;
