-- AlterTable
ALTER TABLE "revisions" ADD COLUMN     "command_id" UUID;

-- CreateIndex
CREATE UNIQUE INDEX "revisions_command_id_key" ON "revisions"("command_id");
