package operate

import (
	"fmt"
	"io"
	"strings"

	"github.com/grayrelease/gray/core"
)

// MaxBody bounds the body of a request that gives a command, in bytes.
const MaxBody = 16 << 10

// ReadBody reads the body of such a request, which may be empty, as core.Decode does.
func ReadBody(body io.Reader, into any) error {
	data, err := io.ReadAll(io.LimitReader(body, MaxBody+1))
	if err != nil {
		return err
	}
	if len(data) > MaxBody {
		return fmt.Errorf("it is longer than %d bytes", MaxBody)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return nil
	}
	return core.Decode(data, into)
}
