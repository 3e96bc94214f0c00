//go:build !linux

package servers

import "syscall"

func DieWithParent() *syscall.SysProcAttr { return nil }
