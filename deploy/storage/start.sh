#!/bin/sh
# Starts SeaweedFS for docker-compose.yml: one key for one bucket, no telemetry, no HTTP but S3's. Whoever else connects
# to its inner servers wants a certificate or a token that this container alone has.
# Keys and certificate lie in memory (/run/stemqueue is a tmpfs). Arguments come last, and win.
set -eu
umask 077

export HOME="${STORAGE_HOME:-/run/stemqueue}"
cat > "$HOME/s3.json" <<EOF
{"identities": [{"name": "stems", "credentials": [{"accessKey": "$S3_ACCESS_KEY_ID", "secretKey": "$S3_SECRET_ACCESS_KEY"}],
  "actions": ["Read:$S3_BUCKET", "List:$S3_BUCKET", "Write:$S3_BUCKET", "Tagging:$S3_BUCKET"]}]}
EOF
python -m deploy.local.servers.storage_security "$HOME"

# Notes of a start with other options would be obeyed before these.
rm -f mini.options

# -ip: the parts of this one process find each other on loopback; -ip.bind: the API and the workers reach S3.
# -filer.maxMB: a download holds 256 blocks in memory; at 4 MB, the default, two slow readers took more than 1 GB.
exec weed -logtostderr=true -v=-1 mini -dir=. -ip=127.0.0.1 -ip.bind=0.0.0.0 -bucket="$S3_BUCKET" \
  -s3.port=8333 -s3.config="$HOME/s3.json" -s3.iam=false -s3.autoCreateBucket=false -s3.allowedOrigins=http://127.0.0.1 \
  -s3.port.iceberg=0 -s3.port.lance=0 -filer.maxMB=1 -webdav=false -disableHttp -admin.ui=false \
  -master.telemetry=false "$@"
