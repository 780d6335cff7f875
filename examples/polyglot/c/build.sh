#!/bin/sh
# build.sh OUT.wasm: with clang and wasi-libc (Debian: clang wasi-libc) and the linker that comes with Rust's toolchain.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
for file in filter bindings/request_plugin; do
    clang --target=wasm32-wasi -Os -Wall -Wextra -Werror -c "$here/$file.c" -o "$objects/$(basename "$file").o"
done
# As a reactor: nothing runs but what is called. 64 KiB of stack, so that what a fresh guest touches lies close together.
"$bin/wasm-component-ld" --wasm-ld-path "$bin/gcc-ld/wasm-ld" --entry _initialize -L/usr/lib/wasm32-wasi /usr/lib/wasm32-wasi/crt1-reactor.o \
    "$objects/filter.o" "$objects/request_plugin.o" "$here/bindings/request_plugin_component_type.o" -lc \
    --strip-all --gc-sections -z stack-size=65536 -o "$1"
