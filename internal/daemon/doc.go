// Package daemon is what commands share that run until they are ended: how their configuration is
// read, who may call them, where they listen, and how they answer.
package daemon
