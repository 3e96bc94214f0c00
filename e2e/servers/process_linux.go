package servers

import "syscall"

// DieWithParent has the kernel end the server when the test process dies without cleaning up.
func DieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
