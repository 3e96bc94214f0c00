package decider

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// selfSigned writes a certificate that is its own authority, and returns it with the paths of its
// files.
func selfSigned(t *testing.T) (certificate tls.Certificate, roots *x509.CertPool, files *TLS) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	folder := t.TempDir()
	files = &TLS{Cert: filepath.Join(folder, "cert.pem"), Key: filepath.Join(folder, "key.pem")}
	files.ClientCA = files.Cert
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})
	require.NoError(t, writeFile(files.Cert, string(public)))
	require.NoError(t, writeFile(files.Key, string(private)))
	certificate, err = tls.X509KeyPair(public, private)
	require.NoError(t, err)
	roots = x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(public))
	return certificate, roots, files
}

// With client_ca, questions come over TLS from those with a certificate, by HTTP/1.1, HTTP/2 and
// gRPC.
func TestTLS(t *testing.T) {
	certificate, roots, files := selfSigned(t)
	config := one(t, shop)
	config.TLS = files
	d := run(t, config)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
			Certificates: []tls.Certificate{certificate}},
			ForceAttemptHTTP2: protocol == "HTTP/2.0"}
		r, err := http.NewRequest("GET", "https://"+d.Address()+"/decide", nil)
		require.NoError(t, err)
		for name, value := range map[string]string{forwardedMethod: "GET", forwardedProto: "http", forwardedHost: "a",
			forwardedURI: "/", forwardedFor: "203.0.113.7"} {
			r.Header.Set(name, value)
		}
		res, err := transport.RoundTrip(r)
		require.NoError(t, err)
		res.Body.Close()
		assert.Equal(t, protocol, res.Proto)
		assert.Equal(t, "v1", res.Header.Get("X-Gray-Version"))
		transport.CloseIdleConnections()
	}
	check := func(config *tls.Config) error {
		conn, err := grpc.NewClient(d.GRPCAddress(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
		require.NoError(t, err)
		defer conn.Close()
		_, err = auth.NewAuthorizationClient(conn).Check(context.Background(), &auth.CheckRequest{})
		return err
	}
	require.NoError(t, check(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}))
	require.Error(t, check(&tls.Config{RootCAs: roots}), "who has no certificate is not let in")
}

// Connections without TLS may speak HTTP/2 from the first byte, as Envoy does.
func TestPlainHTTP2(t *testing.T) {
	d := run(t, one(t, shop))
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest("GET", "http://"+d.Address()+"/decide/nobody", nil)
	require.NoError(t, err)
	for name, value := range map[string]string{forwardedMethod: "GET", forwardedProto: "http", forwardedHost: "a",
		forwardedURI: "/", forwardedFor: "203.0.113.7"} {
		r.Header.Set(name, value)
	}
	res, err := transport.RoundTrip(r)
	require.NoError(t, err)
	res.Body.Close()
	assert.Equal(t, "HTTP/2.0", res.Proto)
	assert.Equal(t, http.StatusOK, res.StatusCode)
	assert.Empty(t, res.Header["X-Gray-Version"])
}
