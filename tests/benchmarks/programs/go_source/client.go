// Does one piece of work with net/http, and ends with status 1 if anything is not as it should be.
//
//	go-client '{"load": "requests", "url": …}': see Work in program.py
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

type work struct {
	Load    string
	URL     string
	CAFile  string
	Count   int
	AtOnce  int `json:"at_once"`
	HTTP1   bool
	Size    int64
	tls     *tls.Config
	version int
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func main() {
	var w work
	check(json.Unmarshal([]byte(os.Args[1]), &w))
	pem, err := os.ReadFile(w.CAFile)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	// The cache is in Go's favour: without it, no session is resumed.
	w.tls = &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	w.version = 2
	transport := &http.Transport{TLSClientConfig: w.tls, MaxIdleConnsPerHost: w.AtOnce, ForceAttemptHTTP2: !w.HTTP1}
	if w.HTTP1 {
		w.version = 1
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	if w.Load == "opening" {
		openWebSockets(w)
		return
	}
	client := &http.Client{Transport: transport}
	w.one(client) // the dial, so that HTTP/2 requests share it
	var all sync.WaitGroup
	left := make(chan struct{}, w.Count)
	for i := 1; i < w.Count; i++ {
		left <- struct{}{}
	}
	close(left)
	for i := 0; i < w.AtOnce; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for range left {
				w.one(client)
			}
		}()
	}
	all.Wait()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func (w work) one(client *http.Client) {
	if w.Load == "upload" {
		request, err := http.NewRequest("POST", w.URL, io.LimitReader(zeros{}, w.Size))
		check(err)
		request.ContentLength = w.Size
		response, err := client.Do(request)
		check(err)
		body, err := io.ReadAll(response.Body)
		check(err)
		w.status(response)
		arrived, err := strconv.ParseInt(strings.TrimSpace(string(body)), 10, 64)
		check(err)
		if arrived < w.Size {
			check(fmt.Errorf("%d bytes arrived instead of %d", arrived, w.Size))
		}
		return
	}
	response, err := client.Get(w.URL)
	check(err)
	var size int64
	if w.Load == "requests" {
		body, err := io.ReadAll(response.Body)
		check(err)
		size = int64(len(body))
	} else {
		size, err = io.Copy(io.Discard, response.Body)
		check(err)
	}
	response.Body.Close()
	w.status(response)
	if size != w.Size {
		check(fmt.Errorf("%d bytes instead of %d", size, w.Size))
	}
}

func (w work) status(response *http.Response) {
	if response.StatusCode != 200 || response.ProtoMajor != w.version {
		check(fmt.Errorf("%s over %s", response.Status, response.Proto))
	}
}
