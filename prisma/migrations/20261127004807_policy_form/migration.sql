-- AlterTable
ALTER TABLE "keys" ADD COLUMN     "policy_form" JSON;
