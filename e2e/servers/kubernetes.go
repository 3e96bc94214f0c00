package servers

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// kubeToken is what Kubernetes knows its one user by.
const kubeToken = "e2e"

// Kubernetes starts an API server of Kubernetes, with an etcd, and returns the path of a kubeconfig
// for it. Nothing else of Kubernetes runs, so objects are only kept. Its data outlive Kill.
func Kubernetes(t testing.TB) (p *Process, kubeconfig string) {
	t.Helper()
	path := Path(t, "kube-apiserver")
	_, etcd := Etcd(t)
	port := FreePorts(t, 1)[0]
	p = newProcess(t, "kube-apiserver", 2*time.Minute)
	in := func(name string) string { return filepath.Join(p.dir, name) }
	writeFile(t, in("tokens.csv"), kubeToken+",e2e,e2e,system:masters\n")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, in("service.key"), string(pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	p.args = []string{path, flag("--etcd-servers", BaseURL(etcd)), "--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port), flag("--cert-dir", in("certificates")),
		flag("--token-auth-file", in("tokens.csv")), "--authorization-mode=RBAC",
		"--service-account-issuer=https://e2e", flag("--service-account-key-file", in("service.key")),
		flag("--service-account-signing-key-file", in("service.key")), "--service-cluster-ip-range=10.0.0.0/24",
		"--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none"}
	p.ready = fmt.Sprintf("https://%s/readyz", Host(port))
	p.Start()
	kubeconfig = in("kubeconfig")
	writeFile(t, kubeconfig, fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: "https://%s", insecure-skip-tls-verify: true}}]
users: [{name: e2e, user: {token: %s}}]
contexts: [{name: e2e, context: {cluster: e2e, user: e2e}}]
current-context: e2e
`, Host(port), kubeToken))
	return p, kubeconfig
}
