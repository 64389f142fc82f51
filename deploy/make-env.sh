#!/bin/sh
# Makes .env from .env.example, with secrets of its own, readable by its owner alone. Leaves an existing one alone.
set -eu
umask 077
folder=${1:-$(dirname "$0")/..}
cd "$folder"
if [ -e .env ]; then
  echo "There is a .env already; it was left as it is." >&2
  exit 1
fi

# Hexadecimal, so that it needs no quoting in a URL, in JSON or in the file.
secret() { od -An -N 24 -t x1 /dev/urandom | tr -d ' \n'; }

# One owner may fill four fifths of the disk that the storage's volume is on: the others' uploads still find room.
disk=/var/lib/docker
[ -d "$disk" ] || disk=.
room=$(df -Pk "$disk" | awk 'NR == 2 { printf "%.0f", $4 * 1024 * 0.8 }')

sed -e "s/^#MAX_STORED_BYTES_PER_OWNER=.*/MAX_STORED_BYTES_PER_OWNER=$room/" \
    -e "s/^REDIS_PASSWORD=$/REDIS_PASSWORD=$(secret)/" \
    -e "s/^S3_ACCESS_KEY_ID=$/S3_ACCESS_KEY_ID=stems$(secret)/" \
    -e "s/^S3_SECRET_ACCESS_KEY=$/S3_SECRET_ACCESS_KEY=$(secret)/" \
    -e "s/^GRAFANA_PASSWORD=$/GRAFANA_PASSWORD=$(secret)/" .env.example > .env.new
mv .env.new .env
echo "Made .env. Next: docker compose up --build --detach"
