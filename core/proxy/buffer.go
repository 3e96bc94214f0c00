package proxy

import "sync"

// copyBuffers is a pool of the buffers through which the reverse proxies copy bodies.
type copyBuffers struct{}

var bufferPool sync.Pool // of *[]byte

// Get implements httputil.BufferPool.
func (c *copyBuffers) Get() []byte {
	if b := bufferPool.Get(); b != nil {
		return *b.(*[]byte)
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (c *copyBuffers) Put(b []byte) { bufferPool.Put(&b) }
