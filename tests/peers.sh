#!/usr/bin/env bash
# Make sure that the programs which other people wrote, and which tests/peer and tests/browser
# stand on, are installed. Installs what is missing with apt where that is allowed (root, or
# sudo without a password); otherwise says what is missing and which tests will be skipped.
# With CI=true a missing program is a failure: a skipped test proves nothing.
set -u

# program (or font file pattern), Debian package, what needs it
needs() {
  cat <<'TABLE'
storescu dcmtk peer
dcmdump dcmtk peer
Orthanc orthanc peer
dciodvfy dicom3tools peer
gdcmconv libgdcm-tools peer
gcc build-essential fault
chromium chromium browser
NotoSansCJK fonts-noto-cjk browser
TABLE
}

present() {
  case $1 in
    Noto*) compgen -G "/usr/share/fonts/*/*/$1*" >/dev/null ;;
    *) PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$1" >/dev/null ;;
  esac
}

missing() { # prints the lines of the table whose program is absent
  needs | while read -r name package folder; do
    present "$name" || echo "$name $package $folder"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# Debian starts a service as soon as it is installed: Orthanc would take port 4242 and 8042 of
# this machine. policy-rc.d says no; one that is already there stays and decides itself.
policy=/usr/sbin/policy-rc.d
forbid_services() {
  [ ! -e "$policy" ] || return 0
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  trap 'as_root rm -f "$policy"' EXIT
}

install() {
  local packages
  packages=$(missing | cut -d' ' -f2 | sort -u | tr '\n' ' ')
  echo "Installing for the tests: $packages"
  forbid_services
  # shellcheck disable=SC2086 # one word per package
  as_root env DEBIAN_FRONTEND=noninteractive sh -c '
    apt-get -qq update; apt-get -qq install -y --no-install-recommends "$@"' sh $packages \
    </dev/null >/dev/null || echo "apt-get did not succeed." >&2
}

[ -z "$(missing)" ] && exit 0
if may_install; then install; fi

left=$(missing)
[ -z "$left" ] && exit 0
while read -r name package folder; do
  echo "Missing: $name (Debian package $package). Tests of tests/$folder that need it are skipped."
done <<<"$left" >&2
if [ "${CI:-}" = true ]; then
  echo "CI=true: a missing program is a failure." >&2
  exit 1
fi
