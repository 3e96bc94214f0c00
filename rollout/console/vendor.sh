#!/usr/bin/env bash
# Renews the charts' library from its npm package, whose hash is checked: bash vendor.sh
# To take another version, change both lines; `npm view uplot dist.integrity` says the hash.
set -euo pipefail
version=1.6.32
integrity=sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==

target="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/assets/vendor/uplot"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm pack --silent "uplot@$version" >/dev/null
found=sha512-$(openssl dgst -sha512 -binary "uplot-$version.tgz" | base64 -w0)
if [[ "$found" != "$integrity" ]]; then
	echo "uplot-$version.tgz has the hash $found, not $integrity" >&2
	exit 1
fi
tar xzf "uplot-$version.tgz"
cp package/dist/uPlot.iife.min.js package/dist/uPlot.min.css package/LICENSE "$target"
