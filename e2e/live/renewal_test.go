package live

import (
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
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// secured is a server of one policy. It and its clients know each other by one certificate on disk.
type secured struct {
	*httptest.Server
	folder string

	mu       sync.Mutex
	current  tls.Certificate
	document string
	clients  map[string]int // requests by the name in the client's certificate
}

func newSecured(t testing.TB) *secured {
	s := &secured{folder: t.TempDir(), clients: map[string]int{}}
	s.renew(t, "one")
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			current := s.current
			return &current, nil
		},
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// source is the server's URL as a source, with the files of the certificate.
func (s *secured) source() string {
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "https://"), ":")
	cert, key := filepath.Join(s.folder, "cert.pem"), filepath.Join(s.folder, "key.pem")
	return "https://localhost:" + port + "/user.json#interval=50ms&ca_file=" + cert + "&cert_file=" + cert +
		"&key_file=" + key
}

// renew replaces the certificate of the server, and the files.
func (s *secured) renew(t testing.TB, name string) {
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
	require.NoError(t, os.WriteFile(filepath.Join(s.folder, "cert.pem"), cert, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(s.folder, "key.pem"), private, 0o600))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, err = tls.X509KeyPair(cert, private)
	require.NoError(t, err)
}

func (s *secured) put(document string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.document = document
}

func (s *secured) askedBy(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clients[name] > 0
}

func (s *secured) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[r.TLS.PeerCertificates[0].Subject.CommonName]++
	if !strings.HasSuffix(r.URL.Path, ".json") || s.document == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, s.document)
}

// renewedCertificates has all certificates of a source replaced on disk while gateways follow it.
func renewedCertificates(f *follower, s *secured, fleet *fleet) {
	document := func(percent int) string { return strings.Replace(fleet.document("v2", percent), "shop", f.route, 1) }
	s.put(document(100))
	f.serves("v2")
	s.renew(f.t, "two")
	s.CloseClientConnections()
	s.put(document(0))
	f.serves("v1")
	require.True(f.t, s.askedBy("two"))
}
