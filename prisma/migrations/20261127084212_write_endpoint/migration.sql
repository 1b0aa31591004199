-- AlterTable
ALTER TABLE "kms_writes" ADD COLUMN     "endpoint" TEXT;
