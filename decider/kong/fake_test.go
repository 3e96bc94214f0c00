package kong

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	protocol "github.com/Kong/go-pdk/server/kong_plugin_protocol"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// plugin is a running gray-kong, as a Kong sees it: this test speaks Kong's plugin protocol. No
// real Kong was to be had.
type plugin struct {
	t    *testing.T
	conn net.Conn
}

// startPlugin builds and starts the plugin's server, and connects to its socket.
func startPlugin(t *testing.T) *plugin {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "gray-kong")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/gray-kong").CombinedOutput()
	require.NoError(t, err, "%s", out)
	dump, err := exec.Command(path, "-dump", "-kong-prefix", folder).Output()
	require.NoError(t, err)
	var info struct {
		Protocol, SocketPath string
		Plugins              []struct {
			Name, Version string
			Priority      int
			Phases        []string
			Schema        map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(dump, &info), "%s", dump)
	require.Equal(t, "ProtoBuf:1", info.Protocol)
	require.Len(t, info.Plugins, 1)
	require.Equal(t, []string{"access"}, info.Plugins[0].Phases)
	require.Equal(t, Version, info.Plugins[0].Version)
	require.Equal(t, Priority, info.Plugins[0].Priority)
	schema := fmt.Sprint(info.Plugins[0].Schema)
	for _, field := range []string{"service", "source", "options", "allow_hosts", "cache", "upstreams"} {
		require.Contains(t, schema, field)
	}
	server := exec.Command(path, "-kong-prefix", folder)
	server.Stderr = os.Stderr
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	p := &plugin{t: t}
	require.Eventually(t, func() bool {
		p.conn, err = net.Dial("unix", info.SocketPath)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	t.Cleanup(func() { _ = p.conn.Close() })
	return p
}

func (p *plugin) write(frame []byte) {
	require.NoError(p.t, binary.Write(p.conn, binary.LittleEndian, uint32(len(frame))))
	_, err := p.conn.Write(frame)
	require.NoError(p.t, err)
}

func (p *plugin) read() []byte {
	p.t.Helper()
	require.NoError(p.t, p.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	var size uint32
	require.NoError(p.t, binary.Read(p.conn, binary.LittleEndian, &size))
	frame := make([]byte, size)
	_, err := io.ReadFull(p.conn, frame)
	require.NoError(p.t, err)
	return frame
}

func (p *plugin) call(c *protocol.RpcCall) {
	frame, err := proto.Marshal(c)
	require.NoError(p.t, err)
	p.write(frame)
}

// start starts an instance with a configuration, and returns its number.
func (p *plugin) start(config any) int32 {
	p.t.Helper()
	text, err := json.Marshal(config)
	require.NoError(p.t, err)
	p.call(&protocol.RpcCall{Sequence: 1, Call: &protocol.RpcCall_CmdStartInstance{
		CmdStartInstance: &protocol.CmdStartInstance{Name: "gray-kong", Config: text}}})
	var back protocol.RpcReturn
	require.NoError(p.t, proto.Unmarshal(p.read(), &back))
	return back.GetInstanceStatus().InstanceId
}

func (p *plugin) close(instance int32) {
	p.t.Helper()
	p.call(&protocol.RpcCall{Sequence: 1, Call: &protocol.RpcCall_CmdCloseInstance{
		CmdCloseInstance: &protocol.CmdCloseInstance{InstanceId: instance}}})
	p.read()
}

// lines are a header, with names in small letters.
type lines map[string][]string

// request is a request as Kong has it, and what a plugin does to it.
type request struct {
	method, target, peer, client, scheme string
	header                               lines // to the upstream
	response                             http.Header
	upstream                             string
	log                                  []string
	garbled                              bool // headers have bytes that are not UTF-8
}

// access runs the phase "access" for a request.
func (p *plugin) access(instance int32, r *request) {
	p.t.Helper()
	r.response = http.Header{}
	p.call(&protocol.RpcCall{Sequence: 1, Call: &protocol.RpcCall_CmdHandleEvent{
		CmdHandleEvent: &protocol.CmdHandleEvent{InstanceId: instance, EventName: "access"}}})
	for {
		method := string(p.read())
		if method == "" {
			break
		}
		p.write(r.answer(p.t, method, p.read()))
	}
	var back protocol.RpcReturn
	require.NoError(p.t, proto.Unmarshal(p.read(), &back))
	require.Equal(p.t, int64(1), back.Sequence)
}

// answer answers one call of Kong's plugin development kit.
func (r *request) answer(t *testing.T, method string, args []byte) []byte {
	var kv protocol.KV
	var text protocol.String
	wrap := func(m proto.Message) []byte {
		out, err := proto.Marshal(m)
		require.NoError(t, err)
		return out
	}
	told := map[string]string{"kong.request.get_method": r.method, "kong.request.get_path_with_query": r.target,
		"kong.client.get_ip": r.peer, "kong.client.get_forwarded_ip": r.client,
		"kong.request.get_forwarded_scheme": r.scheme}
	if value, known := told[method]; known {
		return wrap(&protocol.String{V: value})
	}
	switch method {
	case "kong.request.get_headers":
		all := map[string]any{}
		for name, values := range r.header {
			lines := make([]any, len(values))
			for i, value := range values {
				lines[i] = value
			}
			all[name] = lines
		}
		st, err := structpb.NewStruct(all)
		require.NoError(t, err)
		out := wrap(st)
		if r.garbled {
			out = []byte(strings.ReplaceAll(string(out), "\x01", "\xff"))
		}
		return out
	case "kong.service.request.set_header":
		require.NoError(t, proto.Unmarshal(args, &kv))
		r.header[strings.ToLower(kv.K)] = []string{kv.V.GetStringValue()}
	case "kong.service.request.clear_header":
		require.NoError(t, proto.Unmarshal(args, &text))
		delete(r.header, strings.ToLower(text.V))
	case "kong.response.add_header":
		require.NoError(t, proto.Unmarshal(args, &kv))
		r.response.Add(kv.K, kv.V.GetStringValue())
	case "kong.service.set_upstream":
		require.NoError(t, proto.Unmarshal(args, &text))
		r.upstream = text.V
	case "kong.log.warn", "kong.log.err":
		var list structpb.ListValue
		require.NoError(t, proto.Unmarshal(args, &list))
		r.log = append(r.log, fmt.Sprint(list.AsSlice()...))
	default:
		t.Fatalf("Kong is asked for %s", method)
	}
	return nil
}
