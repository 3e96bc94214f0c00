// Shop is the service of the example: v1 on port 9001, v2 on 9002, and on 9003 its own figures and
// a button that makes v2 bad. It also sends the requests of 500 callers to both gateways.
//
//	curl -X POST http://127.0.0.1:9003/break   # half of v2's requests fail from now on
//	curl -X POST http://127.0.0.1:9003/mend
//	curl http://127.0.0.1:9003/metrics
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// version is one version of the service, with what it counts.
type version struct {
	name             string
	requests, failed atomic.Int64
	isBad            atomic.Bool
}

func (v *version) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	v.requests.Add(1)
	if v.isBad.Load() && rand.IntN(2) == 0 {
		v.failed.Add(1)
		http.Error(w, v.name+" fails", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, v.name, "serves")
}

func main() {
	gateways := flag.String("gateways", "http://127.0.0.1:8080,http://127.0.0.1:8081", "gateways that get requests")
	rate := flag.Int("rate", 100, "requests a second, to each gateway")
	flag.Parse()
	v1, v2 := &version{name: "v1"}, &version{name: "v2"}
	go load(strings.Split(*gateways, ","), *rate)
	for address, v := range map[string]*version{"127.0.0.1:9001": v1, "127.0.0.1:9002": v2} {
		go func() { log.Fatal(serve(address, v)) }()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /break", func(http.ResponseWriter, *http.Request) { v2.isBad.Store(true) })
	mux.HandleFunc("POST /mend", func(http.ResponseWriter, *http.Request) { v2.isBad.Store(false) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		for _, v := range []*version{v1, v2} {
			fmt.Fprintf(w, "shop_requests_total{version=%q} %d\n", v.name, v.requests.Load())
			fmt.Fprintf(w, "shop_failed_total{version=%q} %d\n", v.name, v.failed.Load())
		}
	})
	log.Fatal(serve("127.0.0.1:9003", mux))
}

func serve(address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// load sends requests for ever.
func load(gateways []string, rate int) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	for range time.Tick(time.Second / time.Duration(rate)) {
		for _, gateway := range gateways {
			go func() {
				req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, gateway, nil)
				if err != nil {
					return
				}
				req.AddCookie(&http.Cookie{Name: "uid", Value: fmt.Sprint("u-", rand.IntN(500))})
				res, err := client.Do(req)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}()
		}
	}
}
