// What Traefik's interpreter runs is built and vetted against this file as well (make yaegi). It requires
// nothing, so that code can import nothing but the standard library, and its version is the newest library
// that Yaegi v0.16.1 may be expected to have. The language is held to go1.20 by the Makefile.
module github.com/grayrelease/gray

go 1.21
