#!/bin/sh
# fine_tune.py as a shell script with curl and sed. JOB_FILE is the body of the request that creates the job.
#   export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=any
#   examples/openai/fine_tune.sh ROWS_FILE examples/openai/job.json OUT_DIR
# "file-…" in JOB_FILE becomes the id of the uploaded file. If IDEMPOTENCY_KEY is set, a second run with the same key, rows and
# JOB_FILE follows the job of the first run instead of creating another one.
set -eu
[ $# -eq 3 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
rows=$1 body=$2 out_dir=$3

# request PATH [CURL_OPTION...]: the response; an error response is printed to standard error and ends the script
request() {
  path=$1
  shift
  response=$(curl -sS --fail-with-body -H "Authorization: Bearer $OPENAI_API_KEY" "${OPENAI_BASE_URL%/}/$path" "$@") ||
    { printf '%s\n' "$response" >&2; return 1; }
  [ -z "$response" ] || printf '%s\n' "$response"
}
# quoted FILE: the file's name for curl's -F, which gives ";" and "," a meaning
quoted() { printf '%s' "$1" | sed 's/[\\"]/\\&/g; s/.*/"&"/'; }
# field NAME: the first string with that name in a JSON response; in a job's response the fields of OpenAI's API come first
field() { tr -d '\n' | grep -o "\"$1\": *\"[^\"]*\"" | head -n 1 | sed 's/.*: *"\(.*\)"$/\1/'; }

uploaded=$(request files -F purpose=fine-tune -F "file=@$(quoted "$rows")")
file_id=$(printf '%s' "$uploaded" | field id)
# The server checks a large file after the response.
while [ "$(printf '%s' "$uploaded" | field status)" = uploaded ]; do
  sleep 1
  uploaded=$(request "files/$file_id")
done
created=$(sed "s/file-[^\"]*/$file_id/" "$body" |
  request fine_tuning/jobs -H 'Content-Type: application/json' \
    ${IDEMPOTENCY_KEY:+-H "Idempotency-Key: $IDEMPOTENCY_KEY"} -d @-)
job_id=$(printf '%s' "$created" | field id)
echo "Following $job_id with $file_id"

while :; do
  job=$(request "fine_tuning/jobs/$job_id")
  status=$(printf '%s' "$job" | field status)
  case $status in succeeded) break ;; failed | cancelled | paused) printf '%s\n' "$job" >&2; exit 1 ;; esac
  echo "$status: $(request "fine_tuning/jobs/$job_id/events?limit=1" | field message)"
  sleep 1
done

mkdir -p "$out_dir"
result_file=$(printf '%s' "$job" | grep -o 'file-results[^"]*' | head -n 1)
request "files/$result_file/content" -o "$out_dir/results.csv"
# OpenAI keeps the weights; Stepline returns them. adapter_file is a field that its API adds to the job.
request "files/$(printf '%s' "$job" | field adapter_file)/content" -o "$out_dir/adapter.zip"
echo "$(printf '%s' "$job" | field fine_tuned_model) is in $out_dir/adapter.zip."
