-- The hash of a record covers its command's id and fingerprint too. What was hashed before that cannot be proved by what reads it now.
-- A snapshot is kept with a hash over it and the record that it stands at; those without one are of no more use.

DO $$ BEGIN
  IF EXISTS (SELECT 1 FROM daybook.events) THEN
    RAISE EXCEPTION 'this log was written by a version before 0.1, whose hashes this version cannot prove: begin with an empty database';
  END IF;
END $$;

DELETE FROM daybook.snapshot;
ALTER TABLE daybook.snapshot ADD COLUMN proof bytea NOT NULL;
