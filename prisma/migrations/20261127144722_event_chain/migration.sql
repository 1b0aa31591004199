-- CreateTable
CREATE TABLE "event_chain" (
    "seq" BIGINT NOT NULL,
    "hash" TEXT NOT NULL,

CONSTRAINT "event_chain_pkey" PRIMARY KEY ("seq")
);

INSERT INTO "chores" ("name", "due_at") VALUES ('chain-events', now());

-- External ids are written only: what events tell of those from before goes with the last chance to change an event.
UPDATE "events" SET "data" = regexp_replace("data"::text, '("external_id" *: *)"[^"]*"', '\1"(write-only)"', 'g')::json
WHERE "type" LIKE 'provider.%' AND "data"::text LIKE '%"external_id"%';

-- Where the role that serves requests owns the tables, this holds it back too; only retention removes, from the older end.
CREATE FUNCTION "keyward_append_only"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'events' AND current_setting('keyward.retention', true) = 'on' THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '42501';
END
$$;

CREATE TRIGGER "events_append_only" BEFORE UPDATE OR DELETE ON "events"
FOR EACH ROW EXECUTE FUNCTION "keyward_append_only"();
CREATE TRIGGER "events_kept_whole" BEFORE TRUNCATE ON "events"
FOR EACH STATEMENT EXECUTE FUNCTION "keyward_append_only"();
CREATE TRIGGER "event_chain_append_only" BEFORE UPDATE OR DELETE ON "event_chain"
FOR EACH ROW EXECUTE FUNCTION "keyward_append_only"();
CREATE TRIGGER "event_chain_kept_whole" BEFORE TRUNCATE ON "event_chain"
FOR EACH STATEMENT EXECUTE FUNCTION "keyward_append_only"();
