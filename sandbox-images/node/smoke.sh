cd /workspace
[ "$(node -p 'process.versions.node.split(".")[0]')" = 24 ] || fail "node is not version 24"
npm --version >/dev/null || fail "npm"
npx --version >/dev/null || fail "npx"

mkdir probe
echo '{"name":"probe","version":"1.0.0","main":"probe.js"}' >probe/package.json
echo 'module.exports = 42;' >probe/probe.js
npm init --yes >/dev/null
npm install --silent --offline ./probe
[ "$(node -p 'require("probe")')" = 42 ] || fail "npm install"
