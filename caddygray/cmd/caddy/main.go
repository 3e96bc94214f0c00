// Command caddy is Caddy with the gray modules: what `xcaddy build --with github.com/grayrelease/gray/caddygray` gives.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/grayrelease/gray/caddygray"
)

func main() {
	caddycmd.Main()
}
