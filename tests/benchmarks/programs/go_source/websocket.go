//go:build gorilla

package main

import (
	"sync"

	"github.com/gorilla/websocket"
)

// openWebSockets opens them, and keeps them open.
func openWebSockets(w work) {
	dialer := &websocket.Dialer{TLSClientConfig: w.tls}
	var mutex sync.Mutex
	var all sync.WaitGroup
	var kept []*websocket.Conn
	left := w.Count
	for i := 0; i < w.AtOnce; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				mutex.Lock()
				left--
				enough := left < 0
				mutex.Unlock()
				if enough {
					return
				}
				socket, _, err := dialer.Dial(w.URL, nil)
				check(err)
				mutex.Lock()
				kept = append(kept, socket)
				mutex.Unlock()
			}
		}()
	}
	all.Wait()
}
