package source

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// Access of this process to a folder.
const (
	folderWritable = "writable"
	folderReadOnly = "read-only"
	folderMissing  = "missing"
)

// SwitchFile is where a file source looks for its switch.
type SwitchFile struct {
	// Path of the switch, whether there is one or not.
	Path string `json:"path"`
	// Folder is "writable" or "read-only", for this process, or "missing". A folder that is written
	// from outside, such as a mounted ConfigMap, may well be read-only.
	Folder string `json:"folder"`
	// Warning says why no switch can appear. Default: none.
	Warning string `json:"warning,omitempty"`
}

// SwitchFile looks at where a file source finds its switch. It is nil for other sources.
func (s *Source) SwitchFile() *SwitchFile {
	if s.file == "" {
		return nil
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo") // elsewhere than on Linux there is none
	return switchFileOf(s.file, string(mounts))
}

// switchFileOf judges by the mounts that the kernel lists.
func switchFileOf(file, mounts string) *SwitchFile {
	f := &SwitchFile{Path: Switch.Beside("file", file), Folder: folderMissing}
	folder := resolved(filepath.Dir(file))
	if info, err := os.Stat(folder); err == nil {
		f.Folder = folderReadOnly
		if _, isReadOnly := mountOf(mounts, folder); !isReadOnly && mayWrite(info) {
			f.Folder = folderWritable
		}
	}
	target := resolved(file)
	if point, _ := mountOf(mounts, target); point == target && !exists(f.Path) {
		f.Warning = "only the file is mounted, not its folder: a switch that is written beside it outside of this " +
			"container does not appear here, nor does a file that replaces it; mount the folder " +
			"(of a ConfigMap without subPath)"
	}
	return f
}

// resolved returns a path without symbolic links, or as it is if there is nothing.
func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// mountEscapes are how the kernel writes paths in the list of mounts.
var mountEscapes = strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`)

// mountOf returns where the file system with a path is mounted, "" if the list does not tell, and
// whether it is read-only. The list has a line for each mount: proc_pid_mountinfo(5).
func mountOf(mounts, path string) (point string, isReadOnly bool) {
	escaped := mountEscapes.Replace(path)
	longest := -1
	for _, line := range strings.Split(mounts, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 6 || len(fields[4]) < longest || !isBelow(escaped, fields[4]) {
			continue
		}
		longest = len(fields[4]) // of equal ones the last is on top
		isReadOnly = hasOption(fields[5], "ro") || hasOption(fields[len(fields)-1], "ro")
	}
	if longest == len(escaped) {
		return path, isReadOnly
	}
	if longest < 0 {
		return "", false
	}
	return escaped[:longest], isReadOnly
}

// isBelow reports whether a path is a folder, or anything in it.
func isBelow(path, folder string) bool {
	return folder == "/" || path == folder || strings.HasPrefix(path, folder+"/")
}

func hasOption(options, name string) bool {
	return strings.HasPrefix(options+",", name+",") || strings.Contains(options+",", ","+name+",")
}

// Permission bits to write.
const (
	ownerWrites = 0o200
	groupWrites = 0o020
	otherWrites = 0o002
)

// mayWrite reports whether the permission bits of a folder let this process write in it. The
// standard library tells the owner by types that differ between systems, and that interpreters do
// not have.
func mayWrite(info os.FileInfo) bool {
	mode := info.Mode().Perm()
	owner, isKnown := idIn(info.Sys(), "Uid")
	group, _ := idIn(info.Sys(), "Gid")
	switch {
	case !isKnown:
		return mode&(ownerWrites|groupWrites|otherWrites) != 0
	case os.Geteuid() == 0:
		return true
	case owner == os.Geteuid():
		return mode&ownerWrites != 0
	case isMember(group):
		return mode&groupWrites != 0
	}
	return mode&otherWrites != 0
}

// idIn returns a number in a structure of the system's.
func idIn(sys any, field string) (id int, isKnown bool) {
	v := reflect.ValueOf(sys)
	if v.Kind() != reflect.Ptr || v.Elem().Kind() != reflect.Struct {
		return 0, false
	}
	number := v.Elem().FieldByName(field)
	if !number.IsValid() || !number.CanUint() {
		return 0, false
	}
	return int(number.Uint()), true
}

func isMember(group int) bool {
	if group == os.Getegid() {
		return true
	}
	groups, _ := os.Getgroups()
	for _, g := range groups {
		if g == group {
			return true
		}
	}
	return false
}
