-- AlterTable
ALTER TABLE "kms_writes" ADD COLUMN     "made_key_id" TEXT;
