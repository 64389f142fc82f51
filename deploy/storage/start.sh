#!/bin/sh
# Starts SeaweedFS for docker-compose.yml: one key for one bucket, no telemetry, no HTTP except S3's. The inner servers
# accept only clients with a certificate or token that exists in this container alone. Keys and certificate are in
# memory (/run/stemqueue is a tmpfs). Arguments of this script come last, so they override the options below.
set -eu
umask 077

export HOME="${STORAGE_HOME:-/run/stemqueue}"
cat > "$HOME/s3.json" <<EOF
{"identities": [{"name": "stems", "credentials": [{"accessKey": "$S3_ACCESS_KEY_ID", "secretKey": "$S3_SECRET_ACCESS_KEY"}],
  "actions": ["Read:$S3_BUCKET", "List:$S3_BUCKET", "Write:$S3_BUCKET", "Tagging:$S3_BUCKET"]}]}
EOF
python -m deploy.local.servers.storage_security "$HOME"

# The saved options of an earlier start would take precedence over these.
rm -f mini.options

# -ip: the servers of this process reach each other on loopback; -ip.bind: the API and the workers reach S3.
# -metricsPort: how full its disk is, for Prometheus; no names of objects, and no contents.
# -filer.maxMB: a download holds 256 blocks in memory; at 4 MB, the default, two slow readers took more than 1 GB.
exec weed -logtostderr=true -v=-1 mini -dir=. -ip=127.0.0.1 -ip.bind=0.0.0.0 -bucket="$S3_BUCKET" \
  -s3.port=8333 -s3.config="$HOME/s3.json" -s3.iam=false -s3.autoCreateBucket=false -s3.allowedOrigins=http://127.0.0.1 \
  -s3.port.iceberg=0 -s3.port.lance=0 -filer.maxMB=1 -webdav=false -disableHttp -admin.ui=false \
  -master.telemetry=false -metricsPort=9327 "$@"
