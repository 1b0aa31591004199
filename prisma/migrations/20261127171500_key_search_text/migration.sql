-- Trusted: whoever may create in the database may create it. Where nobody may, an administrator does so before.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- What q looks through, a line for each.
CREATE FUNCTION key_search_text(description text, arn text, key_id text, tags jsonb) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN description || E'\n' || coalesce(arn, '') || E'\n' || coalesce(key_id, '')
    || coalesce((SELECT string_agg(E'\n' || tag.key || E'\n' || tag.value, '') FROM jsonb_each_text(tags) AS tag), '');
