# The test suites. Each prints a line a test and adds to PASSED and FAILED.
PASSED=0
FAILED=0

pass() { PASSED=$((PASSED + 1)); printf 'ok      %s\n' "$1"; }
fail() { FAILED=$((FAILED + 1)); printf 'FAILED  %s\n' "$1"; }
# check NAME COMMAND…: one test; what it printed is shown when it fails.
check() {
  local name=$1
  shift
  if "$@" >"$WORK/check.log" 2>&1; then pass "$name"; else fail "$name"; tail -n 60 "$WORK/check.log"; fi
}

wanted() { [ "$WANTED" = all ] || [ "$WANTED" = "$1" ] || [ "$WANTED" = "${2:-}" ]; }

names() { (cd "$ROOT/$1" && ls -- *."$2" 2>/dev/null | sed "s/\.$2\$//"); }

# Core alone, under AddressSanitizer and UndefinedBehaviorSanitizer, and a short run of the fuzzer.
unit_suite() {
  wanted unit || return 0
  check "unit: core under ASan and UBSan" make -C "$ROOT/test/unit" -j"$(nproc)" check
  check "unit: fuzzing the message parser for 10 s" make -C "$ROOT/test/unit" fuzz SECONDS=10
}

# pg_regress NAME…: reads the results line by line.
count_regress() {
  local suite=$1 log=$2 line name
  while read -r line; do
    name=$(sed -E 's/^test +([^ ]+) .*/\1/' <<<"$line")
    case $line in
    *" ok "*) pass "$suite: $name" ;;
    *FAILED*) fail "$suite: $name" ;;
    esac
  done < <(grep -E '^(test| {5})' "$log" | grep -E '\.\.\. ')
}

regress_suite() {
  local chosen=() name dir=$WORK/regress
  for name in $(cat "$ROOT/sql/schedule"); do ! wanted regress "$name" || chosen+=("$name"); done
  [ ${#chosen[@]} -gt 0 ] || return 0
  mkdir -p "$dir"
  cp -r "$ROOT/sql" "$ROOT/expected" "$dir/"
  { stage_settings; printf "shared_preload_libraries = 'cdp'\ncdp.worker = off\nfsync = off\n"; } >"$dir/conf"
  own "$dir"
  as_server_user "$PGXS_TEST/regress/pg_regress" --temp-instance="$dir/server" --temp-config="$dir/conf" \
    --bindir="$BIN" --inputdir="$dir" --outputdir="$dir" --port="$(free_port)" --encoding=UTF8 --no-locale \
    --dbname=regression_cdp "${chosen[@]}" >"$dir/output.txt" 2>&1 || true
  count_regress regress "$dir/output.txt"
  [ ! -s "$dir/regression.diffs" ] || head -n 200 "$dir/regression.diffs"
  grep -q '^test' "$dir/output.txt" || { fail "regress: did not start"; tail -n 20 "$dir/output.txt"; }
}

isolation_suite() {
  local chosen=() name dir=$WORK/isolation
  for name in $(names test/isolation/specs spec); do ! wanted isolation "$name" || chosen+=("$name"); done
  [ ${#chosen[@]} -gt 0 ] || return 0
  mkdir -p "$dir"
  cp -r "$ROOT/test/isolation/." "$dir/"
  { stage_settings; printf "shared_preload_libraries = 'cdp'\ncdp.worker = off\nfsync = off\n"; } >"$dir/conf"
  own "$dir"
  as_server_user "$PGXS_TEST/isolation/pg_isolation_regress" --temp-instance="$dir/server" --temp-config="$dir/conf" \
    --bindir="$BIN" --inputdir="$dir" --outputdir="$dir" --port="$(free_port)" --load-extension=cdp \
    --dbname=isolation_cdp "${chosen[@]}" >"$dir/output.txt" 2>&1 || true
  count_regress isolation "$dir/output.txt"
  [ ! -s "$dir/regression.diffs" ] || head -n 200 "$dir/regression.diffs"
  grep -q '^test' "$dir/output.txt" || { fail "isolation: did not start"; tail -n 20 "$dir/output.txt"; }
}

tap_suite() {
  local name dir=$WORK/tap
  mkdir -p "$dir"
  cp -r "$ROOT/test/tap/." "$dir/"
  own "$dir"
  for name in $(names test/tap pl); do
    wanted tap "$name" || continue
    check "tap: $name" as_server_user env TESTDIR="$dir" TESTDATADIR="$dir/data" PATH="$BIN:$PATH" \
      EXT_DESTDIR="$STAGE" PGVERSION="$PGVERSION" PG_TEST_TIMEOUT_DEFAULT=90 PG_REGRESS="$PGXS_TEST/regress/pg_regress" \
      prove -I "$PGXS_TEST/perl" -I "$dir" "$dir/$name.pl"
  done
}

# Random histories against plain SQL (histories) and against a naive fold of who is who (identities); CASES and SEED say how
# many and which. Here they are the same every time, so that a red run can be repeated; a soak (--minutes) draws its own.
differential_suite() {
  local name dir=$WORK/differential
  for name in $(names test/differential py); do
    wanted differential "$name" || continue
    grep -q '^if __name__' "$ROOT/test/differential/$name.py" || continue
    [ -e "$dir/data/PG_VERSION" ] || start_server "$dir" "shared_preload_libraries = 'cdp'" 'fsync = off' \
      'cdp.worker_naptime = 20' 'max_connections = 50'
    check "differential: $name" env SEED="${SEED:-766389}" /usr/bin/python3 "$ROOT/test/differential/$name.py" --host "$dir"
  done
}

# Bugs that are planted in a copy of the code, one at a time: the differential test must see each within CASES histories; the one
# that its line `Seen by:` names, or histories.
# Only by name (`scripts/test planted`), because each is compiled and given a server of its own: half a minute or more.
planted_suite() {
  local name tree=$WORK/planted/tree STAGE=$WORK/planted/stage dir
  for name in $(names test/planted patch); do
    [ "$WANTED" = planted ] || [ "$WANTED" = "$name" ] || continue
    if [ ! -d "$tree" ]; then
      mkdir -p "$tree"
      tar -C "$ROOT" --exclude=.git -cf - . | tar -C "$tree" -xf - # with what is compiled already
    fi
    dir=$WORK/planted/$name
    check "planted: $name is seen" see_planted "$name" "$tree" "$dir"
    sed -nE 's/^([0-9]+ histories) of ([0-9]+ messages).*/        after \1 of \2/p' "$dir/found" 2>/dev/null || true
    patch -d "$tree" -p1 -s -R <"$ROOT/test/planted/$name.patch" || return 0
  done
}

see_planted() {
  local name=$1 tree=$2 dir=$3 by
  by=$(sed -n 's/^Seen by: //p' "$ROOT/test/planted/$name.patch")
  patch -d "$tree" -p1 -s <"$ROOT/test/planted/$name.patch" || return 1
  make -C "$tree" -s -j"$(nproc)" PG_CONFIG="$BIN/pg_config" with_llvm=no || return 1
  make -C "$tree" -s install DESTDIR="$STAGE" PG_CONFIG="$BIN/pg_config" with_llvm=no >/dev/null || return 1
  start_server "$dir" "shared_preload_libraries = 'cdp'" 'fsync = off' 'cdp.worker_naptime = 20' 'max_connections = 50' || return 1
  if [ -n "$by" ]; then
    /usr/bin/python3 "$tree/test/differential/$by.py" --host "$dir" --seed "${SEED:-766389}" --histories "${CASES:-60}" >"$dir/found" 2>&1
  else
    /usr/bin/python3 "$tree/test/differential/histories.py" --host "$dir" --seed "${SEED:-766389}" --histories "${CASES:-200}" --as-is >"$dir/found"
  fi
  as_server_user "$BIN/pg_ctl" -D "$dir/data" -m immediate -s stop
  cat "$dir/found"
  if [ -n "$by" ]; then grep -qE '^history [0-9]+: ' "$dir/found" && ! grep -qE '^history [0-9]+: error: ' "$dir/found"; return; fi
  grep -qE '^history [0-9]+: (memberships|ways|verify): ' "$dir/found" # and nothing else that went wrong
}

lint_suite() {
  wanted lint || return 0
  check "lint: every file is formatted" bash -c "cd '$ROOT' && git ls-files 'src/*.cpp' 'src/*.hpp' 'test/unit/*.cpp' |
    xargs clang-format-14 --dry-run -Werror"
  check "lint: clang compiles without warnings" bash -c "cd '$ROOT' && git ls-files 'src/*.cpp' | xargs -P $(nproc) -n 1 \
    clang++-14 -fsyntax-only -std=c++20 -Wall -Wextra -Wshadow -Werror -Wno-register -Wno-missing-field-initializers \
    -Wno-deprecated-volatile -Isrc -isystem $("$BIN/pg_config" --includedir-server) -D_GNU_SOURCE"
  check "lint: only src/pg includes PostgreSQL" bash -c "cd '$ROOT' && ! grep -rlE \
    '#include [<\"](postgres\.h|fmgr\.h|executor/|utils/|access/|catalog/)' src --include='*.?pp' | grep -v '^src/pg/'"
  check "lint: core knows nobody" bash -c "cd '$ROOT' && ! grep -rnE '#include \"(pg|collect|identity|profile|segment|worker|pipeline)/' src/core"
  check "lint: the examples in README and docs are tested" /usr/bin/python3 "$ROOT/scripts/lib/check_docs.py"
  check "lint: every regression test has an expected output" bash -c "cd '$ROOT' && for t in \$(cat sql/schedule); do
    [ -e sql/\$t.sql ] && [ -e expected/\$t.out ] || exit 1; done; [ \$(ls sql/*.sql | wc -l) = \$(wc -w <sql/schedule) ]"
}

# What tools see of profile views, through the drivers that tools use; and how fast one person's document is. Only here TCP is
# listened to: JDBC knows nothing else.
tools_suite() {
  local name dir=$WORK/tools port
  for name in jdbc odbc information_schema document_speed; do
    wanted tools "$name" || continue
    install_packages $TOOLS_PACKAGES
    if [ ! -e "$dir/data/PG_VERSION" ]; then
      port=$(free_port)
      start_server "$dir" "shared_preload_libraries = 'cdp'" 'cdp.worker = off' 'fsync = off' "listen_addresses = '127.0.0.1'" "port = $port"
      as_server_user "$BIN/psql" -XAtq -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -d postgres -f - <"$ROOT/test/tools/people.sql" >/dev/null
      as_server_user "$BIN/psql" -XAtq -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -d postgres -c 'CREATE DATABASE speed' -c '\c speed' -c 'CREATE EXTENSION cdp' >/dev/null
    fi
    case $name in
    jdbc) check "tools: $name" java -Xshare:auto -XX:TieredStopAtLevel=1 -cp /usr/share/java/postgresql.jar "$ROOT/test/tools/Metadata.java" \
      "jdbc:postgresql://127.0.0.1:$port/postgres?user=postgres" ;;
    information_schema) check "tools: $name" same_output "$ROOT/test/tools/information_schema.out" \
      as_server_user "$BIN/psql" -Xq -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -d postgres -f - <"$ROOT/test/tools/information_schema.sql" ;;
    odbc) check "tools: $name" /usr/bin/python3 "$ROOT/test/tools/odbc.py" 127.0.0.1 "$port" postgres ;;
    *) check "tools: $name" /usr/bin/python3 "$ROOT/test/tools/$name.py" 127.0.0.1 "$port" speed
      cat "$WORK/check.log" ;;
    esac
  done
}

# same_output FILE COMMAND…: the command prints what is in the file.
same_output() {
  local expected=$1
  shift
  diff "$expected" <("$@")
}

# A small share of scripts/fuzz.
fuzz_suite() {
  wanted fuzz || return 0
  start_server "$WORK/fuzz" "shared_preload_libraries = 'cdp'" 'fsync = off' 'cdp.worker = off'
  check "fuzz: ${MESSAGES:-10000} mutated messages" /usr/bin/python3 "$ROOT/test/fuzz/messages.py" --host "$WORK/fuzz" --rounds "${MESSAGES:-10000}" --seed "${SEED:-766389}"
}

run_suites() {
  WANTED=$1
  lint_suite
  unit_suite
  regress_suite
  isolation_suite
  tap_suite
  differential_suite
  fuzz_suite
  tools_suite
  planted_suite
  if [ $((PASSED + FAILED)) = 0 ]; then say "no test is called $WANTED"; FAILED=1; fi
  printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
  [ "$FAILED" = 0 ]
}
