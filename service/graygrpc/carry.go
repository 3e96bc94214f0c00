package graygrpc

import (
	"context"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/service"
)

const (
	defaultHeader = "x-gray-version"
	baggageHeader = "baggage"
)

// carrier carries versions on in the metadata of calls.
type carrier struct {
	header  string
	domains *allow.List
	// known are the metadata of versions, made once, as every call carries one of very few.
	known atomic.Pointer[map[string]metadata.MD]
}

// maxKnown bounds how many versions have metadata made once: callers may send any.
const maxKnown = 100

func (c *carrier) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
	options ...grpc.CallOption,
) error {
	return invoke(c.carry(ctx, conn.Target()), method, request, reply, conn, options...)
}

func (c *carrier) stream(
	ctx context.Context, description *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer,
	options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return open(c.carry(ctx, conn.Target()), description, conn, method, options...)
}

// carry returns the context of a call to a target, with the version in its metadata if it is to be
// told.
func (c *carrier) carry(ctx context.Context, target string) context.Context {
	if !c.isTold(target) {
		return c.without(ctx)
	}
	version := service.Version(ctx)
	if version == "" {
		return ctx
	}
	ctx = service.Aligned(ctx)
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		return metadata.NewOutgoingContext(ctx, c.of(version))
	}
	md[c.header] = []string{version}
	md[baggageHeader] = []string{core.CarryVersion(md[baggageHeader], version)}
	return metadata.NewOutgoingContext(ctx, md)
}

// isTold reports whether versions go to a target.
func (c *carrier) isTold(target string) bool {
	if strings.HasPrefix(target, scheme+":") {
		return true
	}
	if len(c.domains.Hosts) == 0 {
		return false
	}
	return c.domains.Lists(target[strings.LastIndexByte(target, '/')+1:])
}

// of returns the metadata of a version. Nobody changes them: gRPC copies what it hands out.
func (c *carrier) of(version string) metadata.MD {
	known := c.known.Load()
	if known != nil {
		if md, ok := (*known)[version]; ok {
			return md
		}
	}
	md := metadata.MD{c.header: {version}, baggageHeader: {core.CarryVersion(nil, version)}}
	next := map[string]metadata.MD{version: md}
	if known != nil {
		if len(*known) >= maxKnown {
			return md
		}
		for other, of := range *known {
			next[other] = of
		}
	}
	c.known.CompareAndSwap(known, &next)
	return md
}

// without returns a context whose metadata say nothing of versions.
func (c *carrier) without(ctx context.Context) context.Context {
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok || md[c.header] == nil && core.CarriedVersion(md[baggageHeader]) == "" {
		return ctx
	}
	delete(md, c.header)
	if all := core.CarryVersion(md[baggageHeader], ""); all != "" {
		md[baggageHeader] = []string{all}
	} else {
		delete(md, baggageHeader)
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// receiver puts the version of a call into its context.
type receiver struct{ header string }

func (r receiver) unary(
	ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	return handle(r.receive(ctx), request)
}

func (r receiver) stream(
	server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler,
) error {
	return handle(server, &received{stream, r.receive(stream.Context())})
}

// received is a stream with the version in its context.
type received struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s *received) Context() context.Context { return s.ctx }

// receive reads the version as service.Carrier does from headers.
func (r receiver) receive(ctx context.Context) context.Context {
	version := ""
	switch header := metadata.ValueFromIncomingContext(ctx, r.header); len(header) {
	case 0:
		version = core.CarriedVersion(metadata.ValueFromIncomingContext(ctx, baggageHeader))
	case 1:
		version = header[0] // Received looks at it
	}
	return service.Received(ctx, version)
}
