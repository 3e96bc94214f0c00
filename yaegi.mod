// What Traefik's interpreter runs is built and vetted against this file as well (make yaegi). It
// requires nothing, so interpreted code can import only the standard library. Its version is the
// newest library that Yaegi v0.16.1 can be expected to have. The Makefile sets the language (1.20).
module github.com/grayrelease/gray

go 1.21
