#!/bin/sh
# The executor of compose.yaml: what must be there before it serves, then the server in this process's place.
set -eu
[ -z "${DATABASE_URL:-}" ] || toolx migrate
[ -z "${S3_ENDPOINT:-}" ] || /opt/tool-executor/node_modules/node/bin/node /opt/tool-executor/deploy/compose/make-bucket.mjs
# Beyond the loopback the server demands a key. The first one is kept where only who may look into this container finds it.
if [ ! -s /data/first-key ]; then
  (umask 077 && toolx keys create --tenant default > /data/first-key.new && mv /data/first-key.new /data/first-key)
fi
exec toolx serve --handover
