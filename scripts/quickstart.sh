#!/bin/sh
# The first command of a fresh clone: installs what is missing, then runs the example sweep on the embedded stack.
# Words after `npm run quickstart --` go to `airavata run`, e.g. `--data-dir DIR`.
set -eu
unset CDPATH
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
sh scripts/ensure.sh
exec bin/airavata run examples/sweep.yaml "$@"
