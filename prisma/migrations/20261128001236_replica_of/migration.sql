-- AlterTable
ALTER TABLE "keys" ADD COLUMN     "replica_of" UUID;
