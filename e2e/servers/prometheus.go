package servers

import (
	"path/filepath"
	"testing"
	"time"
)

// Prometheus starts the Prometheus that this machine has, with a configuration and more files
// beside it. The test is skipped where there is none, but not in CI.
func Prometheus(t testing.TB, config string, files map[string]string) (p *Process, url string) {
	return packaged(t, "prometheus", []string{"prometheus"}, config, files)
}

// Alertmanager starts the Alertmanager that this machine has, in the same way.
func Alertmanager(t testing.TB, config string) (p *Process, url string) {
	return packaged(t, "alertmanager", []string{"prometheus-alertmanager", "alertmanager"}, config, nil)
}

// packaged starts a program that a package of the system has installed under one of the names.
func packaged(t testing.TB, name string, commands []string, config string, files map[string]string) (*Process, string) {
	t.Helper()
	path := Packaged(t, commands...)
	p := newProcess(t, name, time.Minute)
	port := FreePorts(t, 1)[0]
	writeFile(t, filepath.Join(p.dir, name+".yml"), config)
	for file, text := range files {
		writeFile(t, filepath.Join(p.dir, file), text)
	}
	p.args = []string{path, "--config.file=" + name + ".yml", "--storage.path=data", "--web.listen-address=" + Host(port)}
	if name == "prometheus" {
		p.args[2] = "--storage.tsdb.path=data"
	} else {
		p.args = append(p.args, "--cluster.listen-address=")
	}
	p.ready = BaseURL(port) + "/-/ready"
	p.Start()
	return p, BaseURL(port)
}
