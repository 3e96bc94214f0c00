package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
)

// TLS are PEM files: the certificate and key of a server, and those whose clients are let in.
type TLS struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
	// ClientCA lets in clients with a certificate of these authorities only. Default: all clients.
	ClientCA string `json:"client_ca,omitempty"`
}

// Load reads the files.
func (t *TLS) Load() (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if t.ClientCA != "" {
		text, err := os.ReadFile(t.ClientCA)
		if err != nil {
			return nil, err
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no PEM certificates", t.ClientCA)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// Listen opens an address, with TLS unless t is nil. Protocols are those of ALPN.
func Listen(ctx context.Context, address string, t *TLS, protocols ...string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil || t == nil {
		return l, err
	}
	config, err := t.Load()
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("tls: %w", err)
	}
	config.NextProtos = protocols
	return tls.NewListener(l, config), nil
}
