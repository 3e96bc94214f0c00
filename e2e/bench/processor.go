package bench

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ProcessorTime is the processor time that a process has used so far, in steps of a clock tick. It
// skips the test on systems that do not tell.
func ProcessorTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc to read processor times from: ", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err, "the process has ended")
	const tick = 10 * time.Millisecond // sysconf(_SC_CLK_TCK) is 100 on Linux
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var user, system int
	_, err = fmt.Sscan(fields[11], &user)
	require.NoError(t, err)
	_, err = fmt.Sscan(fields[12], &system)
	require.NoError(t, err)
	return time.Duration(user+system) * tick
}
