-- What is asked of a key beside what is declared goes to one table, and has one mark. Processes of the version before go on with the tables
-- of before, which are views now, and with their two marks. A later version drops the views, the marks, and both functions.

-- The row in work is taken before all others, by whoever.
ALTER TABLE "work" ADD COLUMN "errands_open" BOOLEAN NOT NULL DEFAULT false;
UPDATE "work" SET "errands_open" = true WHERE "rotations_open" OR "grants_open";

ALTER TABLE "on_demand_rotations" RENAME TO "errands";
ALTER INDEX "on_demand_rotations_pkey" RENAME TO "errands_pkey";
ALTER INDEX "on_demand_rotations_key_ref_outcome_idx" RENAME TO "errands_key_ref_outcome_idx";
ALTER TABLE "errands" ADD COLUMN "operation" TEXT NOT NULL DEFAULT 'RotateKeyOnDemand',
ADD COLUMN "parameters" JSON NOT NULL DEFAULT '{}';
ALTER TABLE "errands" ALTER COLUMN "operation" DROP DEFAULT;

LOCK TABLE "grant_endings" IN ACCESS EXCLUSIVE MODE;
INSERT INTO "errands" ("id", "key_ref", "operation", "parameters", "actor", "request_id", "outcome", "error", "created_at", "settled_at")
SELECT "id", "key_ref", "operation", json_build_object('GrantId', "grant_id"), "actor", "request_id", "outcome", "error", "created_at", "settled_at"
FROM "grant_endings";
DROP TABLE "grant_endings";

CREATE VIEW "on_demand_rotations" AS
SELECT "id", "key_ref", "operation", "actor", "request_id", "count_before", "lands_until", "outcome", "error", "created_at", "settled_at"
FROM "errands" WHERE "operation" = 'RotateKeyOnDemand';
ALTER VIEW "on_demand_rotations" ALTER COLUMN "operation" SET DEFAULT 'RotateKeyOnDemand';

CREATE VIEW "grant_endings" AS
SELECT "id", "key_ref", "operation", "parameters" ->> 'GrantId' AS "grant_id", "actor", "request_id", "outcome", "error", "created_at", "settled_at"
FROM "errands" WHERE "operation" IN ('RevokeGrant', 'RetireGrant');

CREATE FUNCTION "keyward_grant_ending"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO errands (id, key_ref, operation, parameters, actor, request_id)
  VALUES (NEW.id, NEW.key_ref, NEW.operation, json_build_object('GrantId', NEW.grant_id), NEW.actor, NEW.request_id);
  RETURN NEW;
END
$$;
CREATE TRIGGER "grant_endings_insert" INSTEAD OF INSERT ON "grant_endings"
FOR EACH ROW EXECUTE FUNCTION "keyward_grant_ending"();

-- Each version sees by its own marks what the other was asked.
CREATE FUNCTION "keyward_errands_open"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.errands_open IS DISTINCT FROM OLD.errands_open THEN
    NEW.rotations_open := NEW.errands_open;
    NEW.grants_open := NEW.errands_open;
  ELSE
    NEW.errands_open := NEW.rotations_open OR NEW.grants_open;
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER "work_errands_open" BEFORE UPDATE OF "errands_open", "rotations_open", "grants_open" ON "work"
FOR EACH ROW EXECUTE FUNCTION "keyward_errands_open"();

-- Who may use the tables of before may use the views in their place.
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT grantee, privilege_type FROM information_schema.role_table_grants
    WHERE table_schema = current_schema() AND table_name = 'errands' AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  LOOP
    EXECUTE format('GRANT %s ON on_demand_rotations, grant_endings TO %I', given.privilege_type, given.grantee);
  END LOOP;
END
$$;
