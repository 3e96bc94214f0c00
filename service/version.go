package service

import (
	"context"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"

	"github.com/grayrelease/gray/core"
)

type contextKey struct{ name string }

var versionKey = &contextKey{"version"}

// versioned is a context with a version. It is its own value, so that it costs one allocation.
type versioned struct {
	context.Context
	version string
}

// Value implements context.Context.
func (v *versioned) Value(key any) any {
	if key == versionKey {
		return v
	}
	return v.Context.Value(key)
}

// Version returns the version that a context carries, "" if it carries none. It is that of
// WithVersion, which Handler and the interceptors of package graygrpc call, or else the member
// "gray" of OpenTelemetry's baggage.
//
// The version is what gray chose for the caller, at the gateway. It need not be the version of any
// service on the way.
func Version(ctx context.Context) string {
	if v, ok := ctx.Value(versionKey).(*versioned); ok {
		return v.version
	}
	if version := baggage.FromContext(ctx).Member(core.BaggageKey).Value(); core.IsVersionName(version) {
		return version
	}
	return ""
}

// WithVersion returns a context that carries a version: for Version, and as the member "gray" of
// OpenTelemetry's baggage, whose other members stay. "" carries none from here on, and neither does
// what cannot be the name of a version (see core.IsVersionName).
func WithVersion(ctx context.Context, version string) context.Context {
	if !core.IsVersionName(version) {
		version = ""
	}
	return &versioned{inBaggage(ctx, version), version}
}

// Received is WithVersion for the version that came with a request, at less cost where nothing
// reads OpenTelemetry's baggage, since no propagator has put anything into the context.
func Received(ctx context.Context, version string) context.Context {
	if !core.IsVersionName(version) {
		version = ""
	}
	if version == Version(ctx) {
		return ctx
	}
	return &versioned{beside(ctx, version), version}
}

// Aligned returns a context whose OpenTelemetry baggage has the version that the context carries,
// if anything of OpenTelemetry is in it: what has come into the context after the version may say
// otherwise. Transports and interceptors call it before propagators read the baggage.
func Aligned(ctx context.Context) context.Context { return beside(ctx, Version(ctx)) }

// beside is inBaggage where OpenTelemetry is in use.
func beside(ctx context.Context, version string) context.Context {
	if baggage.FromContext(ctx).Len() > 0 || trace.SpanContextFromContext(ctx).IsValid() {
		return inBaggage(ctx, version)
	}
	return ctx
}

// inBaggage returns a context whose OpenTelemetry baggage has the version, or has none for "".
func inBaggage(ctx context.Context, version string) context.Context {
	b := baggage.FromContext(ctx)
	if b.Member(core.BaggageKey).Value() == version {
		return ctx
	}
	if version == "" {
		return baggage.ContextWithBaggage(ctx, b.DeleteMember(core.BaggageKey))
	}
	member, err := baggage.NewMember(core.BaggageKey, version)
	if err != nil {
		return ctx
	}
	if b, err = b.SetMember(member); err != nil {
		return ctx
	}
	return baggage.ContextWithBaggage(ctx, b)
}
