// Command caddy is Caddy with the gray modules, as `xcaddy build --with
// github.com/grayrelease/gray/caddygray` builds it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/grayrelease/gray/caddygray"
)

func main() {
	caddycmd.Main()
}
