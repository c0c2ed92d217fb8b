package v1

import (
	"log/slog"
	"net/http"
)

// OpenAPIOptions describe the server that a specification would be of.
type OpenAPIOptions struct {
	IncludePaths   []string
	ExternalURL    string
	Version        string
	MaxSearchLimit int
}

// OpenAPIBuilder specifies nothing: whoever asks the local cluster's Prometheus knows its API. The library that writes
// specifications takes an eighth of the time in which Prometheus is compiled.
type OpenAPIBuilder struct{}

// NewOpenAPIBuilder gives the one there is.
func NewOpenAPIBuilder(OpenAPIOptions, *slog.Logger) *OpenAPIBuilder { return &OpenAPIBuilder{} }

// ServeOpenAPI says that there is no specification.
func (*OpenAPIBuilder) ServeOpenAPI(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "this Prometheus was built without its OpenAPI specification", http.StatusNotFound)
}

// WrapHandler checks nothing.
func (*OpenAPIBuilder) WrapHandler(next http.HandlerFunc) http.HandlerFunc { return next }
