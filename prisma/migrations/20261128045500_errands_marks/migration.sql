-- What was asked by the one mark while the other version had set one of its two was forgotten with that one: a rotation that was asked of a
-- process of the version before, and then the end of a grant of one of this version. Whoever writes the one mark sets both.
CREATE OR REPLACE FUNCTION "keyward_errands_open"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.rotations_open = OLD.rotations_open AND NEW.grants_open = OLD.grants_open THEN
    NEW.rotations_open := NEW.errands_open;
    NEW.grants_open := NEW.errands_open;
  ELSE
    NEW.errands_open := NEW.rotations_open OR NEW.grants_open;
  END IF;
  RETURN NEW;
END
$$;

UPDATE "work" SET "errands_open" = true, "due_at" = least("due_at", now())
WHERE "key_ref" IN (SELECT "key_ref" FROM "errands" WHERE "outcome" = 'pending');
