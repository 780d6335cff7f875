#!/bin/sh
# root.sh BINARY FOLDER: makes FOLDER the root of a system that has nothing but the proxy, what it is linked with, and the CAs that are trusted. For
# `FROM scratch` (Containerfile), and for whoever puts it into a chroot.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
binary=$1 root=$2
install -D -m 0755 "$binary" "$root/usr/bin/portcullis"
# The loader, too, is one of them.
ldd "$binary" | grep -o '/[^ ]*' | sort -u | while read -r library; do
  install -D -m 0755 "$(readlink -f "$library")" "$root$library"
done
install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
install -d -m 1777 "$root/tmp"
install -d -m 0700 "$root/var/lib/portcullis"
install -d -m 0755 "$root/etc/portcullis"
# Only the container's own loopback would be reached at 127.0.0.1.
sed 's/127.0.0.1:8080/0.0.0.0:8080/' "$here/portcullis.toml" > "$root/etc/portcullis/portcullis.toml"
printf 'portcullis:x:65532:65532::/var/lib/portcullis:/nonexistent\n' > "$root/etc/passwd"
printf 'portcullis:x:65532:\n' > "$root/etc/group"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
