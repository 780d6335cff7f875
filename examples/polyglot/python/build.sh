#!/bin/sh
# build.sh OUT.wasm: with componentize-py from PyPI, in a virtual environment in $POLYGLOT (a cache; /tmp/polyglot unless it is set).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${POLYGLOT:-/tmp/polyglot}/python
[ -x "$cache/bin/componentize-py" ] || { python3 -m venv "$cache" && "$cache/bin/pip" install --quiet componentize-py==0.25.1; }
# --stub-wasi: nothing is imported, so nothing has to be granted; otherwise Python imports sockets, which no plugin is granted.
"$cache/bin/componentize-py" -d "$here/../../../wit" -w request-plugin componentize --stub-wasi -p "$here" app -o "$1"
