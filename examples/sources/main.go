// Command sources is a gateway in a few lines of net/http. Its policy comes from a source, and it
// answers with the version that it would use.
//
//	go run ./examples/sources -source file://$PWD/examples/sources/file/policy.json
//	curl -s localhost:8080/ ; curl -s localhost:8080/gray/
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
)

func main() {
	source := flag.String("source", "", "URL of the policy's source")
	cache := flag.String("cache", "", "folder for the last good policy; none when empty")
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve on")
	flag.Parse()
	if err := serve(*source, *cache, *listen); err != nil {
		log.Fatal(err)
	}
}

func serve(source, cache, listen string) error {
	handle, err := live.Open(live.Options{Source: &live.Source{URL: source}, Cache: cache, Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer handle.Close()

	http.HandleFunc("/gray/", func(w http.ResponseWriter, _ *http.Request) {
		text, err := json.MarshalIndent(live.States(), "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s\n", text)
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, version(handle.Current(), r))
	})
	log.Print("listening on ", listen)
	server := &http.Server{Addr: listen, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// version decides by the policy in force.
func version(current *live.Current, r *http.Request) string {
	if current.Engine == nil {
		return "no policy yet: stable"
	}
	return core.Decide(current.Engine, &core.Caller{Request: r}).Version
}
