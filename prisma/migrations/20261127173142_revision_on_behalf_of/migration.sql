-- AlterTable
ALTER TABLE "revisions" ADD COLUMN     "on_behalf_of" TEXT;
