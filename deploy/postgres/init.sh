#!/bin/sh
# Runs once, on an empty PostgreSQL: a user and a database for each role, which sees no other's.
set -eu
for file in /run/nexus/*.password; do
    role=$(basename "$file" .password)
    psql --username "${POSTGRES_USER:-postgres}" --dbname postgres --no-psqlrc \
        --set ON_ERROR_STOP=1 --set role="$role" --set password="$(cat "$file")" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
REVOKE CONNECT ON DATABASE :"role" FROM PUBLIC;
SQL
done
