package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
)

// Connection is an HTTP/1.1 client of the least possible cost, so that measurements on one machine
// show the server. It always sends the same bytes, and reads responses that have a Content-Length.
type Connection struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
}

// Dial opens a connection for a request.
func Dial(address string, request []byte) (*Connection, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Connection{conn, bufio.NewReader(conn), request}, nil
}

// Close closes the connection.
func (c *Connection) Close() { _ = c.conn.Close() }

// Exchange sends the request and returns the body of the response. The body is valid until the next
// exchange.
func (c *Connection) Exchange() ([]byte, error) {
	if _, err := c.conn.Write(c.request); err != nil {
		return nil, err
	}
	status, err := c.reader.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		return nil, fmt.Errorf("status %q", status)
	}
	length := -1
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		}
	}
	body := make([]byte, max(length, 0))
	_, err = io.ReadFull(c.reader, body)
	return body, err
}
