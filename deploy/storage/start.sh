#!/bin/sh
# Starts SeaweedFS for docker-compose.yml: one key for one bucket, no telemetry, no HTTP but S3's.
# The keys lie in memory (/run/stemqueue is a tmpfs). Arguments come last, and win.
set -eu
umask 077

keys=${STORAGE_KEYS:-/run/stemqueue/s3.json}
cat > "$keys" <<EOF
{"identities": [{"name": "stems", "credentials": [{"accessKey": "$S3_ACCESS_KEY_ID", "secretKey": "$S3_SECRET_ACCESS_KEY"}],
  "actions": ["Read:$S3_BUCKET", "List:$S3_BUCKET", "Write:$S3_BUCKET", "Tagging:$S3_BUCKET"]}]}
EOF

# Notes of a start with other options would be obeyed before these.
rm -f mini.options

# -ip: the parts of this one process find each other on loopback; -ip.bind: the API and the workers reach S3.
exec weed -logtostderr=true -v=-1 mini -dir=. -ip=127.0.0.1 -ip.bind=0.0.0.0 -bucket="$S3_BUCKET" \
  -s3.port=8333 -s3.config="$keys" -s3.iam=false -s3.autoCreateBucket=false -s3.allowedOrigins=http://127.0.0.1 \
  -s3.port.iceberg=0 -s3.port.lance=0 -webdav=false -disableHttp -admin.ui=false -master.telemetry=false "$@"
