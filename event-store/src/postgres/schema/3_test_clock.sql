-- How far the store's clock is ahead of the server's; null in a store that was not made for a test. It stands in the head's row, so that who
-- has locked the head knows it: an instant that was answered about under the lock is over for all who lock it later.

ALTER TABLE daybook.head ADD COLUMN ahead_us bigint CHECK (ahead_us >= 0);

CREATE TRIGGER test_clock_only_advances BEFORE UPDATE ON daybook.head
  FOR EACH ROW WHEN (NEW.ahead_us < OLD.ahead_us OR (NEW.ahead_us IS NULL AND OLD.ahead_us IS NOT NULL)
    OR (NEW.ahead_us IS NOT NULL AND OLD.ahead_us IS NULL AND OLD.position > 0))
  EXECUTE FUNCTION daybook.refuse();
