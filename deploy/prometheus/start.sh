#!/bin/sh
# Starts Prometheus for docker-compose.yml. Its configuration and the API key are in memory (/run/stemqueue is a tmpfs).
# Arguments of this script come last.
set -eu
umask 077
home="${PROMETHEUS_HOME:-/run/stemqueue}"
here=$(dirname "$0")

cp "$here/alerts.yml" "$home/alerts.yml"
if [ -n "${METRICS_API_KEY:-}" ]; then
  printf %s "$METRICS_API_KEY" > "$home/api-key"
  cp "$here/prometheus.yml" "$home/prometheus.yml"
else
  sed '/^ *authorization:/d' "$here/prometheus.yml" > "$home/prometheus.yml"
fi

exec prometheus --config.file="$home/prometheus.yml" --storage.tsdb.path="${PROMETHEUS_DATA:-/prometheus}" \
  --storage.tsdb.retention.time="${PROMETHEUS_RETENTION:-30d}" "$@"
