#!/usr/bin/env bash
# Three services behind Caddy, registered in Consul: a calls b over HTTP, b calls c over gRPC. There
# are two versions of b, and testers get the new one, although the gateway speaks to a alone.
#
#	examples/services/services.sh
#
# Needs Go, curl and consul. CONSUL is its path, or CONSUL_HTTP_ADDR where one answers already; PORT
# is the gateway's, 8080 by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=examples/services
work=$(mktemp -d)
export PORT=${PORT:-8080} CONSUL_HTTP_ADDR=${CONSUL_HTTP_ADDR:-}
cleanup() {
	trap - EXIT
	kill $(jobs -p) 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

echo "building ..."
go build -o "$work/caddy" ./caddygray/cmd/caddy
go build -o "$work/services" ./$here

start() { # name, program, arguments
	local name=$1
	shift
	"$@" >"$work/$name.log" 2>&1 &
}
await() { # what, command
	for _ in $(seq 600); do
		if eval "$2" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	echo "$1: not within a minute" >&2
	tail -n 20 "$work"/*.log >&2
	exit 1
}
key() { curl -fsS -X PUT --data-binary "@$2" "http://$CONSUL_HTTP_ADDR/v1/kv/$1" >/dev/null; }

if [[ -z $CONSUL_HTTP_ADDR ]]; then
	CONSUL_HTTP_ADDR=127.0.0.1:8500
	start consul "${CONSUL:-consul}" agent -dev -log-level=warn
fi
sed "s|127.0.0.1:8500|$CONSUL_HTTP_ADDR|" $here/policy.json >"$work/policy"
await "Consul" "key gray/shop '$work/policy'"
run() { # log, name, version
	start "$1" "$work/services" -consul "$CONSUL_HTTP_ADDR" -name "$2" -version "$3"
}
run a a v1
run b1 b v1
run b2 b v2
b2=$!
run c c v1
HOME=$work XDG_DATA_HOME=$work XDG_CONFIG_HOME=$work start caddy "$work/caddy" run --config $here/Caddyfile
await "all services" "curl -fs localhost:$PORT && curl -fs -H 'X-App-Version: beta' localhost:$PORT | grep -q 'b v2'"

ask() {
	echo "\$ curl $*"
	curl -fsS "$@"
	echo
}
ask localhost:$PORT
ask -H "X-App-Version: beta" localhost:$PORT

echo "The kill switch sends everybody to v1, in calls between services too:"
echo '{"epoch": 1, "to": "v1", "reason": "example"}' >"$work/switch"
key gray/shop/switch "$work/switch"
await "the switch" "curl -fs -H 'X-App-Version: beta' localhost:$PORT | grep -q 'b v1'"
ask -H "X-App-Version: beta" localhost:$PORT
echo '{"epoch": 2, "to": ""}' >"$work/switch"
key gray/shop/switch "$work/switch"
await "the end of the switch" "curl -fs -H 'X-App-Version: beta' localhost:$PORT | grep -q 'b v2'"

echo "The new b ends. Testers get the stable one, and no request fails:"
kill -TERM $b2
while kill -0 $b2 2>/dev/null; do curl -fsS -H "X-App-Version: beta" localhost:$PORT >>"$work/answers"; done
ask -H "X-App-Version: beta" localhost:$PORT
