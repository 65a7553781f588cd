#!/bin/sh
# Puts the executables of `npm run build` into a directory of agent releases: publish-agent.sh DIRECTORY
# What a version held before is replaced as a whole; the checksums are written before the version's name exists.
set -eu
[ $# -eq 1 ] || { echo "usage: publish-agent.sh DIRECTORY" >&2; exit 3; }
root=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$root/package.json")
new=$1/.$version.$$
mkdir -p "$new"
trap 'rm -rf "$new"' EXIT INT TERM
for pair in airavata:linux-x64 airavata-linux-arm64:linux-arm64; do
  [ ! -f "$root/dist/${pair%%:*}" ] || cp "$root/dist/${pair%%:*}" "$new/airavata-${pair#*:}"
done
ls "$new"/airavata-* >/dev/null 2>&1 || { echo "publish-agent: dist/ holds no executable: run \"npm run build\" first." >&2; exit 1; }
(cd "$new" && sha256sum airavata-* >SHA256SUMS)
rm -rf "${1:?}/$version"
mv "$new" "$1/$version"
echo "version $version is published in $1"
