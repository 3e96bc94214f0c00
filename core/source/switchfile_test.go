package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A folder is writable by the mount that it is on and by its permission bits. Where only the file
// is mounted, no switch can appear beside it.
func TestSwitchFile(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	folder = filepath.Join(folder, "my policies")
	require.NoError(t, os.Mkdir(folder, 0o755))
	file := filepath.Join(folder, "user.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	linked := filepath.Join(folder, "linked.json")
	require.NoError(t, os.Symlink("user.json", linked))
	withSwitch := filepath.Join(folder, "switched.json")
	require.NoError(t, os.WriteFile(withSwitch, []byte("{}"), 0o600))
	require.NoError(t, os.WriteFile(withSwitch+".switch", []byte("{}"), 0o600))
	mount := func(point, options, super string) string {
		return "36 35 98:0 /root " + mountEscapes.Replace(point) + " " + options + " shared:1 - ext4 /dev/sda1 " + super
	}
	root := mount("/", "rw,relatime", "rw")
	for _, c := range []struct {
		name, file, folder string
		mounts             []string
		isWarned           bool
	}{
		{"no list of mounts", file, "writable", nil, false},
		{"one mount", file, "writable", []string{root}, false},
		{"the folder, read-only", file, "read-only", []string{root, mount(folder, "ro,relatime", "rw")}, false},
		{"a file system that is read-only", file, "read-only", []string{mount("/", "rw", "ro,seclabel")}, false},
		{"another folder", file, "writable", []string{root, mount(folder+"-2", "ro", "ro")}, false},
		{"mounted over", file, "writable", []string{root, mount(folder, "ro", "ro"), mount(folder, "rw", "rw")}, false},
		{"the file", file, "writable", []string{root, mount(file, "ro", "ro")}, true},
		{"what a link leads to", linked, "writable", []string{root, mount(file, "rw", "rw")}, true},
		{"the file, and its switch is there", withSwitch, "writable", []string{root, mount(withSwitch, "rw", "rw")}, false},
		{"no such folder", "/nowhere/user.json", "missing", []string{root}, false},
		{"no such file", file + "2", "writable", []string{root, mount(file, "rw", "rw")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := switchFileOf(c.file, strings.Join(c.mounts, "\n")+"\n")
			require.Equal(t, c.file+".switch", f.Path)
			require.Equal(t, c.folder, f.Folder)
			require.Equal(t, c.isWarned, strings.Contains(f.Warning, "mount the folder"), f.Warning)
		})
	}
	require.NoError(t, os.Chmod(folder, 0o555))
	defer func() { _ = os.Chmod(folder, 0o755) }()
	require.Equal(t, os.Geteuid() == 0, switchFileOf(file, "").Folder == "writable", "the administrator writes anywhere")

	s, err := Open("file://"+file, nil)
	require.NoError(t, err)
	require.Equal(t, file+".switch", s.SwitchFile().Path)
	s, err = Open("etcd://127.0.0.1:2379/key", nil)
	require.NoError(t, err)
	require.Nil(t, s.SwitchFile())
}
