-- The hash of a record covers its command's id and fingerprint too. What was hashed before that cannot be proved by what reads it now.

DO $$ BEGIN
  IF EXISTS (SELECT 1 FROM daybook.events) THEN
    RAISE EXCEPTION 'this log was written by a version before 0.1, whose hashes this version cannot prove: begin with an empty database';
  END IF;
END $$;
