-- AlterTable
ALTER TABLE "revisions" ADD COLUMN     "aliases_taken" JSON;

-- CreateTable
CREATE TABLE "declared_aliases" (
    "name" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "key_ref" UUID NOT NULL,

CONSTRAINT "declared_aliases_pkey" PRIMARY KEY ("name","provider")
);

-- CreateIndex
CREATE INDEX "declared_aliases_key_ref_idx" ON "declared_aliases"("key_ref");

-- AddForeignKey
ALTER TABLE "declared_aliases" ADD CONSTRAINT "declared_aliases_key_ref_fkey" FOREIGN KEY ("key_ref") REFERENCES "keys"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Whoever writes a key's aliases, an adoption and a change that is taken back among them, claims them so; two claims of one name fail.
CREATE FUNCTION "keyward_declare_aliases"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  declared jsonb := CASE WHEN NEW.state <> 'deleted' AND jsonb_typeof(NEW.aliases) = 'array' THEN NEW.aliases ELSE '[]' END;
BEGIN
  DELETE FROM declared_aliases WHERE key_ref = NEW.id AND NOT declared ? name;
  INSERT INTO declared_aliases (name, provider, key_ref)
  SELECT wanted.name, NEW.provider, NEW.id FROM jsonb_array_elements_text(declared) AS wanted (name)
  WHERE NOT EXISTS (SELECT FROM declared_aliases AS own WHERE own.key_ref = NEW.id AND own.name = wanted.name);
  RETURN NULL;
END
$$;

CREATE TRIGGER "keys_declare_aliases" AFTER INSERT ON "keys"
FOR EACH ROW WHEN (NEW.aliases IS NOT NULL) EXECUTE FUNCTION "keyward_declare_aliases"();
CREATE TRIGGER "keys_declare_other_aliases" AFTER UPDATE ON "keys"
FOR EACH ROW WHEN (OLD.aliases IS DISTINCT FROM NEW.aliases OR (NEW.aliases IS NOT NULL AND OLD.state IS DISTINCT FROM NEW.state))
EXECUTE FUNCTION "keyward_declare_aliases"();

INSERT INTO "declared_aliases" ("name", "provider", "key_ref")
SELECT wanted.name, keys.provider, keys.id FROM "keys", jsonb_array_elements_text(keys.aliases) AS wanted (name)
WHERE keys.state <> 'deleted' AND jsonb_typeof(keys.aliases) = 'array' ORDER BY keys.created_at ON CONFLICT DO NOTHING;
