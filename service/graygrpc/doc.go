// Package graygrpc is package service for gRPC: interceptors carry the version on, a resolver and a
// balancer pick the instances of a service by it, and servers drain.
//
//	options, err := graygrpc.DialOptions(graygrpc.Options{Services: map[string]service.Target{
//		"cart": {Discover: "consul://127.0.0.1:8500/cart", Stable: "v1"},
//	}})
//	...
//	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
//	conn, err := grpc.NewClient("gray:///cart", options...)
//	...
//	server := grpc.NewServer(graygrpc.ServerOptions()...)
//	err = graygrpc.Run(":9090", server, service.Runner{
//		Registry: "consul://127.0.0.1:8500/shop", Instance: service.Instance{Version: "v2"},
//	})
package graygrpc
