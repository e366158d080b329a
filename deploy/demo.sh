#!/usr/bin/env bash
# The demo: a real server, real embeddings, exact answers, a snapshot, a crash, and the proof that nothing
# changed. Its last line is the state root, the same on every machine.
# usage: demo.sh BUILD_DIRECTORY
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$1" && pwd)
server=$build/server/stele-server
stele=$build/client/cli/stele
demo=$root/tests/data/demo
work=$(mktemp -d)
data=$work/data
server_pid=
trap '[ -z "$server_pid" ] || kill -9 "$server_pid" 2>/dev/null; rm -rf "$work"' EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# Starts the server on a free port of the loopback interface and waits until it is ready.
start_server() {
  : >"$work/out"
  "$server" --data-dir "$data" --listen 127.0.0.1:0 --http-listen "" --log-level warn \
    >"$work/out" 2>>"$work/log" &
  server_pid=$!
  disown "$server_pid"
  until grep -q listening "$work/out"; do
    kill -0 "$server_pid" 2>/dev/null || { cat "$work/log" >&2; echo "demo: the server did not start" >&2; exit 1; }
    sleep 0.05
  done
  cat "$work/out"
  STELE_ADDRESS=$(sed -nE 's/.* listening on ([^ ]+) .*/\1/p' "$work/out")
  export STELE_ADDRESS
}
state_root() { sed -nE 's/.* state_root ([0-9a-f]+).*/\1/p' "$work/out"; }
info_root() {
  "$stele" --json server info | /usr/bin/python3 -c \
    'import json,sys; print(json.load(sys.stdin)["position"]["state_root"])'
}

say "1. Start a server on an empty data directory"
start_server

say "2. Store 3,000 real embeddings of Debian package descriptions (384 dimensions)"
"$stele" collection create packages --dimension 384 --metric cosine \
  --description "Debian package descriptions, all-MiniLM-L6-v2"
"$stele" import packages "$demo/records.npy" --ids "$demo/records.jsonl"

say "3. Ask questions; answers are exact, to the last bit, on every machine"
for row in 0 7 21; do
  question=$(sed -n "$((row + 1))p" "$demo/queries.jsonl")
  printf '\n%s\n' "$question"
  "$stele" search packages --file "$demo/queries.npy" --row "$row" -k 3 --with-document
done

say "4. Only large programs of one section: a filter, applied before ranking"
"$stele" search packages --file "$demo/queries.npy" --row 0 -k 3 --with-attributes \
  --filter '{"all_of":[{"attribute":"section","equals":"graphics"},{"attribute":"installed_size_kb","greater_than":1000}]}'

say "5. Take a hashed snapshot"
"$stele" snapshot create
root_before=$(info_root)

say "6. Kill the server with SIGKILL, and start it again"
kill -9 "$server_pid"
while kill -0 "$server_pid" 2>/dev/null; do sleep 0.05; done
start_server
root_recovered=$(state_root)

say "7. Stop it, verify the snapshot, and replay the whole log from its first entry"
kill -TERM "$server_pid"
while kill -0 "$server_pid" 2>/dev/null; do sleep 0.05; done
server_pid=
for snapshot in "$data"/snapshots/*.stele; do "$stele" snapshot verify "$snapshot"; done
"$server" --verify --data-dir "$data" | tee "$work/verify"
root_replayed=$(grep -oE 'state root [0-9a-f]{64}' "$work/verify" | cut -d' ' -f3)

if [ "$root_before" != "$root_recovered" ] || [ "$root_before" != "$root_replayed" ]; then
  echo "demo: the roots differ: before $root_before, recovered $root_recovered, replayed $root_replayed" >&2
  exit 1
fi
say "Before the crash, after recovery and after replay the state root is the same:"
echo "$root_before"
