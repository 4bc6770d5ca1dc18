#!/bin/sh
# Starts a server, ingests the example documents and asks three questions. PORT chooses the port (default: 8000).
set -eu
cd "$(dirname "$0")/.."

vectoray=.venv/bin/vectoray
data_dir=.demo
collection=demo

if "$vectoray" status --data-dir "$data_dir" >/dev/null; then
    echo "The demo server runs already."
else
    "$vectoray" up --detach --data-dir "$data_dir" --port "${PORT:-8000}"
fi
where() {
    "$vectoray" status --data-dir "$data_dir" --json |
        .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["server"][sys.argv[1]] or "off")' "$1"
}
url=$(where api_url)

echo
echo "== Reading examples/corpus (one of its files is broken on purpose)"
"$vectoray" ingest examples/corpus --collection "$collection" --data-dir "$data_dir"

for question in \
    "What happens to my data if the power fails right after a write?" \
    "Is it safe to send the same request twice?" \
    "Somebody published our secret key, what now?"; do
    echo
    echo "== $question"
    "$vectoray" search "$collection" "$question" --top-k 3 --data-dir "$data_dir"
done

cat <<END

== Where to look
  API docs     $(where docs_url)
  dashboard    $(where dashboard_url)
  status       $vectoray status --data-dir $data_dir
  ask          $vectoray search $collection "your question" --data-dir $data_dir
  REST         curl $url/api/v1/health
               curl $url/api/v1/collections/$collection
  stop         make down
END
