//go:build !gorilla

package main

import "errors"

func openWebSockets(w work) {
	check(errors.New("not installed: golang-github-gorilla-websocket-dev"))
}
