#!/usr/bin/env bash
# A fleet on this machine: Caddy, Traefik, Prometheus, Alertmanager, `gray serve`, and a service whose
# v2 turns bad. Shows how it is taken back, by one of four ways:
#
#	examples/fleet/fleet.sh evidence   # what the gateways measure (the default)
#	examples/fleet/fleet.sh counters   # the counters of Traefik alone
#	examples/fleet/fleet.sh query      # a query at Prometheus
#	examples/fleet/fleet.sh alert      # an alert of Alertmanager
#
# With STAY=1 everything goes on running after that, until Ctrl-C: Prometheus at 127.0.0.1:9090 has
# what the dashboards of examples/grafana show.
#
# Needs Go, prometheus, alertmanager (or prometheus-alertmanager) and, unless NO_TRAEFIK is set,
# traefik v3.6 or later (TRAEFIK is its path).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
way=${1:-evidence}
case $way in
evidence | counters) guard='"errors"' ;;
query) guard='"query failed < 0.1 for 2"' ;;
alert) guard='"alert team=shop"' ;;
*)
	echo "want evidence, counters, query or alert, not $way" >&2
	exit 3
	;;
esac

fleet=$(mktemp -d)
export FLEET=$fleet
here=examples/fleet
cleanup() {
	trap - EXIT
	kill $(jobs -p) 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$fleet"
}
trap cleanup EXIT

echo "building ..."
go build -o "$fleet/gray-command" ./cmd/gray
go build -o "$fleet/caddy-command" ./caddygray/cmd/caddy
go build -o "$fleet/shop-command" ./$here/shop

cat >"$fleet/shop.json" <<JSON
{
  "service": "shop",
  "stable": "v1",
  "versions": {"v1": {"upstreams": ["127.0.0.1:9001"]}, "v2": {"upstreams": ["127.0.0.1:9002"]}},
  "identity": ["cookie uid"],
  "rules": [{"name": "ramp", "version": "v2"}],
  "rollout": {
    "rule": "ramp", "warmup": "0s", "steps": ["20% for 1h", "100%"], "guard": [$guard],
    "queries": {
      "failed": "sum(rate(shop_failed_total{version=\"\$version\"}[\$window])) / sum(rate(shop_requests_total{version=\"\$version\"}[\$window]))"
    }
  }
}
JSON
cat >"$fleet/rolled-back" <<'SH'
#!/bin/sh
echo "notice: $GRAY_VERSION of $GRAY_SERVICE is taken back: $GRAY_REASON"
SH
chmod +x "$fleet/rolled-back"
for file in gray.yml dynamic.yml; do sed "s|FLEET|$fleet|" "$here/$file" >"$fleet/$file"; done
cp examples/grafana/rules.yml "$fleet/gray-rules.yml"
cp $here/traefik.yml $here/prometheus.yml $here/rules.yml $here/alertmanager.yml "$fleet/"
if [[ $way == counters ]]; then sed -i '/gateways:/d' "$fleet/gray.yml"; else sed -i '/scrape:/,/traefik:/d' "$fleet/gray.yml"; fi
loop=""
if [[ $way != evidence ]]; then loop=off; fi # let the controller find it alone
sed "s|loop {|loop $loop {|" $here/Caddyfile >"$fleet/Caddyfile"

start() { # name, program, arguments
	local name=$1
	shift
	(cd "$fleet" && exec "$@") >"$fleet/$name.log" 2>&1 &
}
start shop "$fleet/shop-command"
start caddy "$fleet/caddy-command" run --config "$fleet/Caddyfile"
if [[ -z ${NO_TRAEFIK:-} ]]; then
	mkdir -p "$fleet/plugins-local/src/github.com/grayrelease"
	ln -s "$PWD" "$fleet/plugins-local/src/github.com/grayrelease/gray"
	start traefik "${TRAEFIK:-traefik}" --configFile=traefik.yml
fi
start prometheus prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address=127.0.0.1:9090
alertmanager=$(command -v alertmanager || command -v prometheus-alertmanager)
start alertmanager "$alertmanager" --config.file=alertmanager.yml --storage.path=alerts --web.listen-address=127.0.0.1:9093 --cluster.listen-address=
start gray "$fleet/gray-command" serve --config gray.yml

gray() { "$fleet/gray-command" "$@"; }
await() { # what, command
	for _ in $(seq 600); do
		if eval "$2" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	echo "$1: not within a minute" >&2
	tail -n 20 "$fleet"/*.log >&2
	exit 1
}
source=file://$fleet/shop.json
await "the controller" "curl -fs http://127.0.0.1:2020/readyz"
await "the first step" "gray status $source -o json | grep -q '\"percent\": *20'"
await "requests of both versions" "curl -fs http://127.0.0.1:9003/metrics | grep -Eq 'requests_total.version=\"v2\". [0-9]{3}'"
sleep 12 # a window's worth of health
echo "v2 has 20 % of the callers and is well. From now on half of its requests fail."
began=$(date +%s%N)
curl -fs -X POST http://127.0.0.1:9003/break
await "the rollback" "gray status $source -o json | grep -q '\"phase\": *\"rolled-back\"'"
echo "Everybody is back on v1 after $((($(date +%s%N) - began) / 1000000)) ms, by $way:"
gray status "$source"
await "the notice" "grep -q notice: '$fleet/gray.log'"
if [[ -n ${STAY:-} ]]; then
	echo "Prometheus is at http://127.0.0.1:9090, the controller at http://127.0.0.1:2020. Ctrl-C ends all of it."
	wait
fi
