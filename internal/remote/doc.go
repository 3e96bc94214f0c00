// Package remote speaks to the servers that policies and upstreams come from: it reads the
// addresses that users write, and has a small client for each of etcd, Consul and Nacos.
//
// It is written on the standard library alone, in the part of Go that Yaegi interprets, as it runs
// inside Traefik too. A Client and what is built on it belong to one goroutine.
package remote
