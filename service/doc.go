// Package service is what a Go service needs to take part in gray releases: it registers with its
// version, drains without failing a request, carries the version that gray chose on to the services
// that it calls, and picks their instances by it. No service needs it to be released behind gray.
//
//	func main() {
//		calls, err := service.NewTransport(service.TransportOptions{Services: map[string]service.Target{
//			"cart": {Discover: "consul://127.0.0.1:8500/cart", Stable: "v1"},
//		}})
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer calls.Close()
//		client := &http.Client{Transport: calls} // GET http://cart/... reaches cart's version for this caller
//		err = service.Runner{
//			Registry: "consul://127.0.0.1:8500/shop", Instance: service.Instance{Version: "v2"},
//		}.Run(&http.Server{Addr: ":8080", Handler: service.Handler(newShop(client))})
//		if err != nil {
//			log.Fatal(err)
//		}
//	}
//
// The version is in the context of a request (see Version), and goes on by whatever takes that
// context: a Transport, the interceptors of package graygrpc, a message (see Inject), and the
// propagators of OpenTelemetry, which see it as baggage.
package service
