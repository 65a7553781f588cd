#!/bin/sh
# Installs the agent's program on a node: fetches it from the coordinator, holds it against the checksum, tries it, and
# only then puts it in its place, in one step. What was there before stays there until then, and when anything fails.
#   API_URL=https://cluster.example.org sh install-agent.sh [/usr/local/bin/airavata]
# AIRAVATA_CA_FILE: authorities that the coordinator's certificate may be signed by. AIRAVATA_VERSION: not the newest.
# AIRAVATA_SHA256: the checksum as the operator knows it from elsewhere; without it the coordinator's word counts.
set -eu
fail() {
  echo "install-agent: $*" >&2
  exit 1
}
[ -n "${API_URL:-}" ] || { echo "usage: API_URL=https://COORDINATOR sh install-agent.sh [TARGET]" >&2; exit 3; }
target=${1:-/usr/local/bin/airavata}
case $(uname -m) in
  x86_64 | amd64) platform=linux-x64 ;;
  aarch64 | arm64) platform=linux-arm64 ;;
  *) fail "there is no agent for $(uname -s) on $(uname -m)" ;;
esac
[ "$(uname -s)" = Linux ] || fail "there is no agent for $(uname -s)"
url="${API_URL%/}/api/v1/agent/download/$platform"
query=${AIRAVATA_VERSION:+?version=$AIRAVATA_VERSION}

fetch() { # URL FILE
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --connect-timeout 30 --retry 3 ${AIRAVATA_CA_FILE:+--cacert "$AIRAVATA_CA_FILE"} -o "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -T 30 -t 3 ${AIRAVATA_CA_FILE:+--ca-certificate="$AIRAVATA_CA_FILE"} -O "$2" "$1"
  else
    fail "neither curl nor wget is here"
  fi
}

# Beside the target, so that the last step is a rename; readable by nobody else until it is checked.
directory=$(dirname "$target")
[ -d "$directory" ] || mkdir -p "$directory" || fail "$directory cannot be made"
umask 077
work=$(mktemp -d "$directory/.airavata.XXXXXX") || fail "$directory cannot be written to"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
fetch "$url/sha256$query" "$work/sum" || fail "the checksum cannot be fetched from $url/sha256$query"
given=$(cut -d ' ' -f 1 "$work/sum" | head -n 1)
case $given in
  *[!0-9a-f]* | "") fail "$url/sha256 answers with something that is no checksum" ;;
esac
[ ${#given} -eq 64 ] || fail "$url/sha256 answers with something that is no checksum"
wanted=${AIRAVATA_SHA256:-$given}
[ "$wanted" = "$given" ] || fail "the coordinator offers a program with SHA-256 $given, not $wanted: nothing was installed"
fetch "$url$query" "$work/airavata" || fail "the program cannot be fetched from $url$query"
found=$(sha256sum "$work/airavata" | cut -d ' ' -f 1)
[ "$found" = "$wanted" ] || fail "the SHA-256 of what came is $found, not $wanted: nothing was installed"
chmod 755 "$work/airavata"
version=$("$work/airavata" --version) || fail "the program does not start on this machine: nothing was installed"
mv -f "$work/airavata" "$target" || fail "$target cannot be written"
echo "airavata $version is installed as $target"
