#!/usr/bin/env bash
# Builds the container image with docker, podman or buildah, whichever is there and works.
# usage: build-image.sh [TAG]; STELE_BASE_ARCHIVE names a root file system (tar) to import as
# debian:bookworm-slim where no registry is in reach.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-stele:latest}

if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  exec docker build -t "$tag" .
fi
# Without a daemon and without user namespaces chroot isolation still works; it needs root.
options=()
if [ "$(id -u)" -eq 0 ]; then options=(--isolation chroot --network host); fi
for tool in podman buildah; do
  command -v "$tool" >/dev/null || continue
  global=()
  [ -z "${STELE_STORAGE:-}" ] || global=(--root "$STELE_STORAGE/root" --runroot "$STELE_STORAGE/run" --storage-driver vfs)
  pull=()
  if [ -n "${STELE_BASE_ARCHIVE:-}" ]; then
    podman "${global[@]}" import "$STELE_BASE_ARCHIVE" docker.io/library/debian:bookworm-slim
    pull=(--pull=never)
  fi
  exec "$tool" "${global[@]}" build --format docker "${options[@]}" "${pull[@]}" -t "$tag" .
done
echo "stele: neither a working docker nor podman nor buildah is here; install one: apt-get install buildah" >&2
exit 1
