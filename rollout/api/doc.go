// Package api shows services and their rollouts to programs and to the console, and moves them. It
// is served by `gray serve`, which knows the services of a fleet, and by Caddy's `gray_console`,
// which knows those of its gateway: each says what it knows as a Service.
//
//	feed := api.NewFeed(services)
//	go feed.Run(ctx) // takes the samples that figures are made of
//	mux.Handle("/gray/v1/", api.New(feed, callers))
package api
