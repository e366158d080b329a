#!/usr/bin/env bash
# Installs the Debian packages of a list that are missing; does nothing where all are there. Needs root or
# sudo only if something is missing.
# usage: install-packages.sh LIST
set -euo pipefail

mapfile -t wanted < <(grep -v '^#' "$1")
missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [[ $status == ii* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

explain() {
  echo "stele: these Debian packages are missing: ${missing[*]}" >&2
  echo "stele: $1" >&2
  exit 1
}
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || explain "install them as root (there is no sudo): apt-get install ${missing[*]}"
  as_root=(sudo)
fi
command -v apt-get >/dev/null || explain "this is no Debian system: install their equivalents by hand"
echo "stele: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq || echo "stele: apt-get update failed; trying with the lists at hand" >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null || explain "apt-get could not install them: see its message above"
