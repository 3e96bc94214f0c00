package backends

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// BackUp copies what the server of an etcd has on disk, and returns the folder of the copy. The
// server is restarted.
func (b *Backend) BackUp(t testing.TB) (folder string) {
	folder = filepath.Join(t.TempDir(), "data")
	b.Process.Kill()
	require.NoError(t, os.CopyFS(folder, os.DirFS(b.data())))
	b.Process.Start()
	return folder
}

// Restore puts an etcd back to a copy, which is used up.
func (b *Backend) Restore(t testing.TB, backup string) {
	b.Process.Kill()
	require.NoError(t, os.RemoveAll(b.data()))
	require.NoError(t, os.Rename(backup, b.data()))
	b.Process.Start()
}

func (b *Backend) data() string { return filepath.Join(b.Process.Folder(), "data") }
