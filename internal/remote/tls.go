package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/grayrelease/gray/core/plain"
	"github.com/grayrelease/gray/core/problem"
)

// identity is whom a client believes and who it is itself, by the options of an address. The files
// that they name are read again for every connection, so that certificates may be renewed on disk.
type identity struct {
	address *Address

	mu   sync.Mutex
	last *tls.Config // as the files were when they were last good
}

func newIdentity(a *Address) (*identity, error) {
	config, err := tlsConfig(a)
	if err != nil {
		return nil, err
	}
	return &identity{address: a, last: config}, nil
}

// currentIdentity reads the files. While they are not good, as in the middle of a renewal, those
// that were last good count.
func currentIdentity(i *identity) *tls.Config {
	i.mu.Lock()
	defer i.mu.Unlock()
	if config, err := tlsConfig(i.address); err == nil {
		i.last = config
	}
	return i.last
}

// forProxies is the configuration of connections through a proxy, which a transport makes by itself
// and always by the same one. It reads the files at each handshake.
func forProxies(i *identity) *tls.Config {
	config := currentIdentity(i).Clone()
	if len(config.Certificates) > 0 {
		config.Certificates = nil
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			current := currentIdentity(i)
			return &current.Certificates[0], nil
		}
	}
	if config.RootCAs != nil && !config.InsecureSkipVerify {
		config.InsecureSkipVerify = true // VerifyConnection does it
		config.VerifyConnection = func(state tls.ConnectionState) error {
			return verify(&state, currentIdentity(i).RootCAs)
		}
	}
	return config
}

// verify checks a server's certificates as crypto/tls does.
func verify(state *tls.ConnectionState, roots *x509.CertPool) error {
	options := x509.VerifyOptions{Roots: roots, DNSName: state.ServerName, Intermediates: x509.NewCertPool()}
	for _, cert := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}

// secured makes a connection one of TLS, or closes it.
func secured(
	ctx context.Context, conn net.Conn, config *tls.Config, address string, timeout time.Duration,
) (net.Conn, error) {
	config = config.Clone()
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		config.ServerName = host
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

func tlsConfig(a *Address) (*tls.Config, error) {
	insecure, err := a.Bool("insecure_skip_verify")
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: a.Options["server_name"],
		InsecureSkipVerify: insecure, //nolint:gosec // only when the user asks for it in so many words
	}
	if name := a.Options["ca_file"]; name != "" {
		pem, err := readPEM(name)
		if err != nil {
			return nil, a.Refuse("ca_file", "%s", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, a.Refuse("ca_file", "%s holds no PEM certificate", name)
		}
	}
	cert, key := a.Options["cert_file"], a.Options["key_file"]
	if (cert == "") != (key == "") {
		return nil, problem.New("", "cert_file and key_file go together")
	}
	if cert != "" {
		pair, err := readPair(cert, key)
		if err != nil {
			return nil, a.Refuse("cert_file", "%s", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func readPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := readPEM(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readPEM(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

func readPEM(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		text, err = plain.Text(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}
