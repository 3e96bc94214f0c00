package proxy

import "sync"

// copyBuffers is a pool of the buffers through which the reverse proxies copy bodies.
type copyBuffers struct{}

var bufferPool = sync.Pool{New: func() interface{} {
	b := make([]byte, 32<<10)
	return &b
}}

// Get implements httputil.BufferPool.
func (c *copyBuffers) Get() []byte { return *bufferPool.Get().(*[]byte) }

// Put implements httputil.BufferPool.
func (c *copyBuffers) Put(b []byte) { bufferPool.Put(&b) }
