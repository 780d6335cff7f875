#!/bin/sh
# build.sh OUT.wasm [quickjs|starlingmonkey]: with componentize-qjs or componentize-js from npm, in $POLYGLOT (a cache; /tmp/polyglot unless it
# is set). QuickJS is a tenth of the size; StarlingMonkey is what Firefox runs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${POLYGLOT:-/tmp/polyglot}/javascript
[ -x "$cache/node_modules/.bin/componentize-qjs" ] ||
    npm install --silent --no-audit --no-fund --prefix "$cache" @bytecodealliance/componentize-js@0.23.0 componentize-qjs@0.4.5
case ${2:-quickjs} in
quickjs) "$cache/node_modules/.bin/componentize-qjs" --wit "$here/../../../wit" --js "$here/filter.js" -n request-plugin --sync --opt-size -m -o "$1" ;;
# Without what a filter has no use for, it imports nothing.
starlingmonkey)
    "$cache/node_modules/.bin/componentize-js" "$here/filter.js" --wit "$here/../../../wit" --world-name request-plugin \
        --disable stdio random clocks http fetch-event --out "$1" ;;
*) echo "quickjs or starlingmonkey" >&2 && exit 2 ;;
esac
