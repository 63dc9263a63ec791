-- The log, its head, consumer rows and snapshots.
--
-- Names (tenant, category, stream id, kind) are bytea: a name may hold any character, NUL included, which text refuses; bytes compare as bytes
-- whatever the database's collation and encoding are; and nothing has to be escaped on its way in and out. They read well
-- nevertheless: WHERE category = 'order' works as it stands, and SET bytea_output = 'escape' shows names as text.

CREATE TABLE daybook.events (
  position       bigint PRIMARY KEY CHECK (position > 0),
  recorded_at    bigint NOT NULL,
  version        bigint NOT NULL CHECK (version > 0),
  schema_version bigint NOT NULL,
  event_id       uuid   NOT NULL,
  command_id     uuid   NOT NULL,
  tenant         bytea  NOT NULL,
  category       bytea  NOT NULL,
  stream_id      bytea  NOT NULL,
  kind           bytea  NOT NULL,
  hash           bytea  NOT NULL,
  -- Stands on the first record of a batch only, and so marks where batches begin.
  fingerprint    bytea,
  metadata       bytea  NOT NULL,
  data           bytea  NOT NULL
);

CREATE UNIQUE INDEX events_stream ON daybook.events (tenant, category, stream_id, version);
-- Each command once, permanently. On the batch's first record only: one entry per command, and no second table to write.
CREATE UNIQUE INDEX events_command ON daybook.events (command_id) WHERE fingerprint IS NOT NULL;
-- Leads a filtered read over the long stretches that have nothing of its categories.
CREATE INDEX events_category ON daybook.events (category, position);
-- Payloads of some hundred bytes: the log is written in its order and never changed, so its pages may be full.
ALTER TABLE daybook.events SET (fillfactor = 100, autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE FUNCTION daybook.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the log is append-only' USING ERRCODE = 'insufficient_privilege'; END $$;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON daybook.events
  FOR EACH STATEMENT EXECUTE FUNCTION daybook.refuse();

-- Locked by every writer, first thing: who holds this row decides what comes next in the log.
CREATE TABLE daybook.head (
  one         integer PRIMARY KEY CHECK (one = 1),
  position    bigint NOT NULL,
  hash        bytea  NOT NULL,
  recorded_at bigint NOT NULL,
  -- Up to which instant it has been answered what was recorded: nothing later is recorded at or before it.
  answered_to bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO daybook.head VALUES (1, 0, decode(repeat('00', 32), 'hex'), 0, 0);
CREATE TRIGGER head_only_moves_on BEFORE UPDATE ON daybook.head
  FOR EACH ROW WHEN (NEW.position < OLD.position OR NEW.recorded_at < OLD.recorded_at OR NEW.answered_to < OLD.answered_to)
  EXECUTE FUNCTION daybook.refuse();
CREATE TRIGGER head_stays BEFORE DELETE OR TRUNCATE ON daybook.head
  FOR EACH STATEMENT EXECUTE FUNCTION daybook.refuse();

CREATE TABLE daybook.store (
  one                    integer PRIMARY KEY CHECK (one = 1),
  incarnation            uuid    NOT NULL,
  created_at             timestamptz NOT NULL DEFAULT now(),
  stream_partitions      bigint  NOT NULL,
  correlation_partitions bigint  NOT NULL,
  partition_hash         text    NOT NULL
);

CREATE TABLE daybook.consumer (
  name        bytea  NOT NULL,
  partition   bigint NOT NULL,
  owner       bytea  NOT NULL,
  epoch       bigint NOT NULL,
  lease_until bigint NOT NULL,
  position    bigint NOT NULL,
  hash        bytea  NOT NULL,
  state       bytea  NOT NULL,
  PRIMARY KEY (name, partition)
) WITH (fillfactor = 50);

CREATE TABLE daybook.snapshot (
  tenant    bytea  NOT NULL,
  category  bytea  NOT NULL,
  stream_id bytea  NOT NULL,
  fold      bigint NOT NULL,
  version   bigint NOT NULL,
  event_id  uuid   NOT NULL,
  state     bytea  NOT NULL,
  PRIMARY KEY (tenant, category, stream_id, fold)
);
