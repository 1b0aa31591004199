-- CreateTable
CREATE TABLE "chores" (
    "name" TEXT NOT NULL,
    "due_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "chores_pkey" PRIMARY KEY ("name")
);

INSERT INTO "chores" ("name", "due_at") VALUES
    ('sweep-idempotent-requests', now() + interval '10 minutes'),
    ('sweep-unmanaged-keys', now() + interval '1 hour'),
    ('trim-history', now() + interval '1 hour');
