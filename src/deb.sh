#!/bin/sh
# deb.sh ROOT VERSION OUT: a Debian package of what `make install DESTDIR=ROOT PREFIX=/usr` put into
# ROOT. What it depends on is what its programs are linked with. The plug-in for CUDA stays out: its
# libraries are NVIDIA's, which no package of Debian's main depends on; `make install` has it.
# $DEBFULLNAME and $DEBEMAIL, or else git's user, are the maintainer.
set -eu
root=$(realpath "$1") version=$2 out=$3
work=$(dirname "$root")/shlibs
who="${DEBFULLNAME:-$(git config user.name || echo lowshot)} <${DEBEMAIL:-$(git config user.email || echo "root@$(hostname -f)")}>"
doc=$root/usr/share/doc/lowshot
mkdir -p "$root/DEBIAN" "$doc" "$work/debian"
for program in "$root"/usr/bin/*; do
    head -c 4 "$program" | grep -q ELF && strip --strip-unneeded "$program"
done
rm -rf "$root/usr/lib"
gzip -9nf "$root"/usr/share/man/man*/*.[15]
sed "s/^ -- .*  / -- $who  /" "$(dirname "$0")/changelog" | gzip -9nc >"$doc/changelog.gz"
cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: lowshot

Files: *
Copyright: 2026 The lowshot developers
License: as-told
 Ask the developers: no licence is given with this source.
END
printf 'Source: lowshot\n\nPackage: lowshot\nArchitecture: any\n' >"$work/debian/control"
needs=$(cd "$work" && for program in "$root"/usr/bin/*; do
    head -c 4 "$program" | grep -q ELF && echo "-e$program"
done | xargs dpkg-shlibdeps -O 2>/dev/null | sed 's/^shlibs:Depends=//')
cat >"$root/DEBIAN/control" <<END
Package: lowshot
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: $who
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)
Depends: $needs
Suggests: gnuplot-nox, jq
Section: science
Priority: optional
Description: low-shot image classification as Unix filters
 Small programs that read tensors on standard input and write them on
 standard output: they read pictures, train or read a network, make
 embeddings, imprint new classes from a few pictures without training
 (Qi, Brown and Lowe, CVPR 2018), classify, and score.
END
(cd "$root" && find usr -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
chmod -R u=rwX,go=rX "$root"
dpkg-deb --build --root-owner-group "$root" "$out" >/dev/null
