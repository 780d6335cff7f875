# boot.sh MACHINE PACKAGES: in namespaces of its own, becomes Debian's systemd in a copy of this machine, made in the folder MACHINE, that forgets everything.
# Nothing is started but what the basic target wants. What is in PACKAGES is in /tmp/packages there.
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/changed" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changed,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
# Not to be written: who could would tell the kernel's devices what to do.
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount --rbind /dev dev
mkdir tmp/packages
mount --bind "$2" tmp/packages
# An earlier proxy of this machine's, and what keeps packages from starting theirs in a container.
rm -rf usr/sbin/policy-rc.d var/lib/portcullis etc/portcullis etc/systemd/system/portcullis.service.d
ip link set lo up
exec chroot . env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=basic.target --log-target=null
