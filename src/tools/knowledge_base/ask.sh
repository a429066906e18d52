# Asks the host, which knows whose task this is. What it answers is the value; a refusal is told on stderr.
set -eu
: "${TOOL_CALL_URL:?the host gave this sandbox no way to call it}"
answer=/tmp/.toolx-answer.json

# A store that is away for a moment is asked again. No settings of the task's own folder, and no proxy: the host is not reached over the network.
curl --disable --silent --show-error --noproxy '*' --max-time 60 --retry 3 --retry-delay 1 \
  --header 'Content-Type: application/json' --data-binary @/workspace/.toolx-request.json \
  --output "$answer" --write-out '%{http_code}' "$TOOL_CALL_URL/knowledge_base" >/tmp/.toolx-status

if [ "$(cat /tmp/.toolx-status)" != 200 ]; then
  jq -r '.error | .message, if .hint then "hint: \(.hint)" else empty end' "$answer" >&2
  exit 1
fi
jq -r '.answers[] | "\(.collection)/\(.path):\(.line)  \(.title)\(if .heading then " › \(.heading)" else "" end)\n  \(.snippet)\n"' "$answer"
cp "$answer" /output/result.json
