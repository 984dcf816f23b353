#!/bin/sh
# client.py as a shell script with curl: upload a dataset, submit a job, follow it, download the adapter.
#   examples/client.sh http://127.0.0.1:8000 examples/alpaca.json examples/first_job.json OUT_DIR
# The job file's "ds_…" becomes the id of the uploaded dataset. Needs curl and sed.
set -eu
[ $# -eq 4 ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
url=${1%/} dataset=$2 job=$3 out_dir=$4

# request PATH [CURL_OPTION...]: the response; an error response is printed to standard error and ends the script
request() {
  path=$1
  shift
  response=$(curl -sS --fail-with-body "$url/$path" "$@") || { printf '%s\n' "$response" >&2; return 1; }
  [ -z "$response" ] || printf '%s\n' "$response"
}
# quoted FILE: the file's name for curl's -F, which gives ";" and "," a meaning
quoted() { printf '%s' "$1" | sed 's/[\\"]/\\&/g; s/.*/"&"/'; }
# field NAME: the first string with that name in a JSON response; in a job's response the job's own fields come first
field() { tr -d '\n' | grep -o "\"$1\": *\"[^\"]*\"" | head -n 1 | sed 's/.*: *"\(.*\)"$/\1/'; }

uploaded=$(request v1/datasets -F "file=@$(quoted "$dataset")")
dataset_id=$(printf '%s' "$uploaded" | field id)
# The server checks a large file after the response.
while [ "$(printf '%s' "$uploaded" | field status)" = validating ]; do
  sleep 1
  uploaded=$(request "v1/datasets/$dataset_id")
done
created=$(sed "s/ds_[^\"]*/$dataset_id/" "$job" | request v1/jobs -H 'Content-Type: application/json' -d @-)
job_id=$(printf '%s' "$created" | field id)
echo "Submitted $job_id with dataset $dataset_id"

since=
while :; do
  state=$(request "v1/jobs/$job_id")
  status=$(printf '%s' "$state" | field status)
  # In a phase without steps (tokenizing, evaluating): the number of rows done.
  rows=$(printf '%s' "$state" | sed -n 's/.*"rows": *{"done": *\([0-9]*\), *"total": *\([0-9]*\).*/, \1 of \2 rows/p')
  # Request only points since the last poll. If `rewind_to_step` is set, a new attempt restarted from that step.
  page=$(request "v1/jobs/$job_id/loss?since=$since")
  since=$(printf '%s' "$page" | field cursor)
  rewind=$(printf '%s' "$page" | sed -n 's/.*"rewind_to_step": *\([0-9][0-9]*\).*/\1/p')
  [ -z "$rewind" ] || echo "a new attempt repeats the steps after $rewind"
  points=$(printf '%s' "$page" | grep -o '"step": *[0-9]*, *"loss": *[^,]*' | tr -d '"')
  echo "${points:-$status$rows}"
  case $status in succeeded) break ;; failed | cancelled | paused) printf '%s\n' "$state" >&2; exit 1 ;; esac
  sleep 1
done
request "v1/jobs/$job_id/loss" -H 'Accept: text/plain'

mkdir -p "$out_dir"
request "v1/jobs/$job_id/artifacts/adapter.zip" -o "$out_dir/adapter.zip"
request "v1/jobs/$job_id/summary?lang=en" -H 'Accept: text/plain'
echo "The adapter is in $out_dir/adapter.zip."
