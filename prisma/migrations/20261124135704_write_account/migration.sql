-- AlterTable
ALTER TABLE "kms_writes" ADD COLUMN     "account" TEXT;
