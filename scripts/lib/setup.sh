# Sourced by scripts/demo, test and bench: installs what is missing, builds into a private stage, and runs servers of
# their own. Nothing here touches a PostgreSQL that is already running.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PGVERSION=${PGVERSION:-15}
BIN=/usr/lib/postgresql/$PGVERSION/bin
PGXS_TEST=/usr/lib/postgresql/$PGVERSION/lib/pgxs/src/test
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGOPTIONS PGSERVICE
export LC_ALL=C.UTF-8

say() { printf '%s\n' "$*" >&2; }

# Packages by name; asks apt only for those that are not there.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing: ${missing[*]}"
  local sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

BUILD_PACKAGES="build-essential pkg-config postgresql-$PGVERSION postgresql-server-dev-$PGVERSION libicu-dev libphonenumber-dev libsimdjson-dev libroaring-dev libssl-dev"
TEST_PACKAGES="$BUILD_PACKAGES postgresql-$PGVERSION-wal2json libgtest-dev libipc-run-perl python3 python3-psycopg2 python3-jsonschema clang-14 clang-format-14 libclang-rt-14-dev"

TOOLS_PACKAGES="default-jdk-headless libpostgresql-jdbc-java odbc-postgresql unixodbc python3-pyodbc"

# A folder for this run that the postgres user can read; gone when the script ends, unless KEEP is set.
make_workspace() {
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/cdp.XXXXXX")
  chmod 755 "$WORK"
  mkdir -m 1777 "$WORK/tmp"
  trap 'stop_servers; give_huge_pages_back; [ -n "${KEEP:-}" ] || rm -rf "$WORK"' EXIT
  if [ "$(id -u)" = 0 ]; then RUN_AS=(runuser -u postgres --); else RUN_AS=(); fi
}

# As the user that servers run as: postgres when we are root, which PostgreSQL refuses.
as_server_user() { (cd "$WORK" && "${RUN_AS[@]}" env TMPDIR="$WORK/tmp" "$@"); }

own() { [ "$(id -u)" != 0 ] || chown -R postgres: "$@"; }

# Builds in the checkout and installs into $STAGE.
build() {
  say "building (a minute or two the first time)"
  make -C "$ROOT" -s -j"$(nproc)" PG_CONFIG="$BIN/pg_config" with_llvm="${WITH_LLVM:-no}" >&2
  STAGE=$WORK/stage
  make -C "$ROOT" -s install DESTDIR="$STAGE" PG_CONFIG="$BIN/pg_config" with_llvm="${WITH_LLVM:-no}" >/dev/null
}

# Settings that let a server find the staged extension.
stage_settings() {
  printf "extension_destdir = '%s'\n" "$STAGE"
  printf "dynamic_library_path = '%s/usr/lib/postgresql/%s/lib:\$libdir'\n" "$STAGE" "$PGVERSION"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

SERVERS=()
# start_server DIR [setting…]: a throw-away server on a Unix socket in DIR.
start_server() {
  local dir=$1
  shift
  mkdir -p "$dir"
  own "$dir"
  if [ ! -e "$dir/data/PG_VERSION" ]; then
    as_server_user "$BIN/initdb" -D "$dir/data" -E UTF8 --no-locale -A trust -U postgres >/dev/null
    { stage_settings; printf "listen_addresses = ''\nunix_socket_directories = '%s'\n" "$dir"; printf '%s\n' "$@"; } |
      as_server_user tee -a "$dir/data/postgresql.conf" >/dev/null
  fi
  as_server_user "$BIN/pg_ctl" -D "$dir/data" -l "$dir/log" -w -s start ||
    { cat "$dir/log" >&2; return 1; }
  SERVERS+=("$dir")
}

stop_servers() {
  local dir
  for dir in "${SERVERS[@]:-}"; do
    [ -z "$dir" ] || as_server_user "$BIN/pg_ctl" -D "$dir/data" -m immediate -s stop 2>/dev/null || true
  done
}

HUGE_PAGES=/proc/sys/vm/nr_hugepages
HUGE_PAGES_RESERVED=
# reserve_huge_pages DIR: its server restarts in huge pages, reserved until this script ends; not where the machine's owner has
# reserved some (then it has them already), where we may not, or where they would take more than half of what is free.
reserve_huge_pages() {
  local wanted
  [ -w "$HUGE_PAGES" ] && [ "$(cat "$HUGE_PAGES")" = 0 ] || return 0
  as_server_user "$BIN/pg_ctl" -D "$1/data" -m fast -w -s stop
  wanted=$(as_server_user "$BIN/postgres" -D "$1/data" -C shared_memory_size_in_huge_pages)
  if [ "$wanted" -gt 0 ] && awk -v wanted="$wanted" '/^MemAvailable/ { free = $2 } /^Hugepagesize/ { size = $2 }
      END { exit !(2 * wanted * size < free) }' /proc/meminfo; then
    HUGE_PAGES_RESERVED=yes
    echo $((wanted + 8)) >"$HUGE_PAGES"
    [ "$(cat "$HUGE_PAGES")" -ge "$wanted" ] || give_huge_pages_back
  fi
  as_server_user "$BIN/pg_ctl" -D "$1/data" -l "$1/log" -w -s start
}
give_huge_pages_back() {
  [ -z "$HUGE_PAGES_RESERVED" ] || echo 0 >"$HUGE_PAGES"
  HUGE_PAGES_RESERVED=
}
# has_huge_pages DIR: whether its server's shared memory is in huge pages.
has_huge_pages() { awk '/^KernelPageSize/ && $2 > 1024 { found = 1 } END { exit !found }' "/proc/$(head -1 "$1/data/postmaster.pid")/smaps"; }
