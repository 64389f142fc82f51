#!/bin/sh
# Checks the alerts and runs their unit tests with promtool; `make lint` runs it. promtool and Prometheus come with
# Debian's package `prometheus`: if they are not on the PATH, they are unpacked into .venv-test/prometheus, and nothing
# is installed. Where apt has no such package, the check is skipped, and says so.
set -eu
cd "$(dirname "$0")/../.."
tools=$PWD/.venv-test/prometheus

fetch() {
  mkdir -p "$tools" && cd "$tools" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb
}

PATH=$PATH:$tools/usr/bin
if ! command -v promtool >/dev/null; then
  (fetch) >/dev/null 2>&1 || true
fi
if ! command -v promtool >/dev/null; then
  echo "The alerts were not checked: there is no promtool here, and apt cannot get the package prometheus."
  exit 0
fi

cd deploy/prometheus
promtool check config --syntax-only prometheus.yml
promtool check rules alerts.yml
promtool test rules alerts_test.yml
