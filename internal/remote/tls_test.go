package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificate makes a certificate that signs itself, and writes it and its key into a folder.
func certificate(t *testing.T, folder, name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})
	require.NoError(t, os.WriteFile(filepath.Join(folder, "cert.pem"), cert, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "key.pem"), private, 0o600))
	pair, err := tls.X509KeyPair(cert, private)
	require.NoError(t, err)
	return pair
}

// read returns the name in the certificate of a folder.
func read(t *testing.T, folder string) string {
	text, err := os.ReadFile(filepath.Join(folder, "cert.pem"))
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert.Subject.CommonName
}

// Certificates are renewed on disk while the client runs: its own, and the server's that it
// believes.
func TestRenewedCertificates(t *testing.T) {
	client, server := t.TempDir(), t.TempDir()
	certificate(t, client, "client one")
	current := certificate(t, server, "server one")
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &current, nil },
	}
	s.StartTLS()
	defer s.Close()

	_, port, found := strings.Cut(strings.TrimPrefix(s.URL, "https://"), ":")
	require.True(t, found)
	a, err := Parse("https://localhost:"+port+"/", map[string]string{
		"ca_file": server + "/cert.pem", "cert_file": client + "/cert.pem", "key_file": client + "/key.pem",
	}, nil)
	require.NoError(t, err)
	c, err := NewClient(a)
	require.NoError(t, err)
	defer c.Close()
	// Behind a proxy, which passes bytes on.
	identity, err := newIdentity(a)
	require.NoError(t, err)
	proxied := forProxies(identity)
	handshake := func(serverName string) error {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		config := proxied.Clone()
		config.ServerName = serverName
		secure := tls.Client(conn, config)
		if err := secure.Handshake(); err != nil {
			return err
		}
		_, err = io.WriteString(secure, "GET / HTTP/1.0\r\n\r\n")
		require.NoError(t, err)
		text, err := io.ReadAll(secure)
		require.NoError(t, err)
		require.Contains(t, string(text), read(t, client))
		return nil
	}
	require.NoError(t, handshake("localhost"))
	require.ErrorContains(t, handshake("other.example"), "other.example")
	asked := func() string {
		resp, err := c.Do(context.Background(), Request{Path: "/"})
		require.NoError(t, err)
		return string(resp.Body)
	}
	require.Equal(t, "client one", asked())

	certificate(t, client, "client two")
	current = certificate(t, server, "server two")
	require.Equal(t, "client one", asked(), "the connection that stands goes on")
	c.Close()
	require.Equal(t, "client two", asked())
	require.NoError(t, handshake("localhost"))

	for _, name := range []string{"/cert.pem", "/key.pem"} { // as some editors save them
		text, err := os.ReadFile(client + name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(client+name, append([]byte("\ufeff"), text...), 0o600))
	}
	_, err = tlsConfig(a)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(client+"/key.pem", []byte("half a ke"), 0o600))
	c.Close()
	require.Equal(t, "client two", asked(), "files that are not good do not count")
}
