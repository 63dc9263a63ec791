#!/bin/sh
# Runs once, on an empty cluster: the role that services write with, which may add to the log and change nothing in it, and a
# database of their own for the read models.
set -eu
psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    -v app="$DAYBOOK_APP_PASSWORD" -v read="$DAYBOOK_READ_PASSWORD" <<'SQL'
CREATE ROLE daybook_app LOGIN PASSWORD :'app';
CREATE ROLE daybook_read LOGIN PASSWORD :'read';
CREATE DATABASE daybook_read OWNER daybook_read;
SQL
