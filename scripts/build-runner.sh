#!/bin/sh
# Builds agent/runner/bin/airavata-runner-linux-{x64,arm64}: static, musl, byte for byte the same on every machine.
#   build-runner.sh           builds and replaces the committed programs and SHA256SUMS
#   build-runner.sh --check   builds elsewhere and compares; exit 1 and a sentence when they differ
# The compiler is `zig cc` of one pinned version, from the PyPI wheel, kept outside of the tree in
# ${AIRAVATA_TOOLCHAIN_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/airavata-toolchain}. AIRAVATA_ZIG names another zig.
set -eu
zig_version=0.17.1
root=$(cd "$(dirname "$0")/.." && pwd)
source_dir=$root/agent/runner
bin=$source_dir/bin
cache=${AIRAVATA_TOOLCHAIN_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/airavata-toolchain}
check=
case ${1-} in
  "") ;;
  --check) check=1 ;;
  *) echo "usage: build-runner.sh [--check]" >&2; exit 3 ;;
esac

zig=${AIRAVATA_ZIG-}
if [ -z "$zig" ]; then
  venv=$cache/ziglang-$zig_version
  if ! [ -x "$venv/bin/python3" ] || ! "$venv/bin/python3" -m ziglang version >/dev/null 2>&1; then
    mkdir -p "$cache"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python3" -m pip install --quiet --disable-pip-version-check "ziglang==$zig_version"
  fi
  zig="$venv/bin/python3 -m ziglang"
fi
found=$($zig version)
[ "$found" = "$zig_version" ] || { echo "build-runner: zig $found found but $zig_version needed: unset AIRAVATA_ZIG to fetch it." >&2; exit 1; }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT INT TERM
# Compiled from within the folder, with relative names: no path of this machine can end up in the program.
cd "$source_dir"
for pair in x64:x86_64 arm64:aarch64; do
  # -O2 -s and no build id, no debug: nothing that depends on the place. gnu11 for offsetof and packed structures.
  $zig cc -target "${pair#*:}-linux-musl" -static -std=gnu11 -O2 -s -Wall -Wextra -Werror -Wl,--build-id=none \
    -fno-sanitize=all -fstack-protector-strong -o "$out/airavata-runner-linux-${pair%%:*}" ./*.c
  chmod 755 "$out/airavata-runner-linux-${pair%%:*}"
done
(cd "$out" && sha256sum airavata-runner-linux-arm64 airavata-runner-linux-x64 >SHA256SUMS)

if [ -n "$check" ]; then
  for name in airavata-runner-linux-x64 airavata-runner-linux-arm64 SHA256SUMS; do
    cmp -s "$out/$name" "$bin/$name" || {
      echo "build-runner: agent/runner/bin/$name is not what the sources give: run scripts/build-runner.sh and commit agent/runner/bin." >&2
      exit 1
    }
  done
  echo "agent/runner/bin is what the sources give (zig $zig_version)"
else
  mkdir -p "$bin"
  mv "$out"/airavata-runner-linux-* "$out/SHA256SUMS" "$bin/"
  ls -l "$bin"
fi
