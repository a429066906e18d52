#!/bin/sh
# Makes a cluster at the first start, with POSTGRES_PASSWORD for the user postgres, and a certificate of its own for TLS.
# Arguments go to the server.
set -eu
bin=/usr/lib/postgresql/15/bin
data=/data/pg
if [ ! -s "$data/PG_VERSION" ]; then
  printf %s "$POSTGRES_PASSWORD" > /tmp/password
  "$bin/initdb" -D "$data" -U postgres --pwfile=/tmp/password --auth-host=scram-sha-256 --auth-local=trust -E UTF8 --locale=C.UTF-8 > /dev/null
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$data/server.key" -out "$data/server.crt" 2> /dev/null
  chmod 0600 "$data/server.key"
fi
exec "$bin/postgres" -D "$data" -k /tmp -c listen_addresses='*' -c jit=off -c ssl=on "$@"
