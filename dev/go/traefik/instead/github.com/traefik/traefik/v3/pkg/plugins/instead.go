// Package plugins loads none: the local cluster's gateway routes and splits traffic with what Traefik has itself. An
// interpreter of Go and a runtime of WebAssembly stay out with them.
package plugins

import (
	"context"
	"errors"
	"net/http"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

var errLeftOut = errors.New("this Traefik was built without plugins")

// Constructor makes the handler of a plugin.
type Constructor func(context.Context, http.Handler) (http.Handler, error)

// Descriptor names a plugin in the static configuration.
type Descriptor struct {
	ModuleName string `description:"Not in this build." json:"moduleName,omitempty" toml:"moduleName,omitempty" yaml:"moduleName,omitempty"`
}

// LocalDescriptor names a plugin that lies beside Traefik.
type LocalDescriptor Descriptor

// RegistryDownloader fetches nothing.
type RegistryDownloader struct{}

// RegistryDownloaderOptions say how plugins would be fetched.
type RegistryDownloaderOptions struct {
	HTTPClient   *http.Client
	ArchivesPath string
}

// NewRegistryDownloader refuses; it is asked only where the configuration names a plugin.
func NewRegistryDownloader(RegistryDownloaderOptions) (*RegistryDownloader, error) {
	return nil, errLeftOut
}

// Manager keeps nothing.
type Manager struct{}

// ManagerOptions say where plugins would lie.
type ManagerOptions struct {
	Output string
}

// NewManager refuses.
func NewManager(*RegistryDownloader, ManagerOptions) (*Manager, error) { return nil, errLeftOut }

// SetupRemotePlugins refuses.
func SetupRemotePlugins(*Manager, map[string]Descriptor) error { return errLeftOut }

// SetupLocalPlugins refuses.
func SetupLocalPlugins(map[string]LocalDescriptor) error { return errLeftOut }

// Builder builds nothing.
type Builder struct{}

// NewBuilder gives the one that a configuration without plugins needs.
func NewBuilder(*Manager, map[string]Descriptor, map[string]LocalDescriptor) (*Builder, error) {
	return &Builder{}, nil
}

// Build refuses every middleware.
func (b Builder) Build(string, map[string]interface{}, string) (Constructor, error) {
	return nil, errLeftOut
}

// BuildProvider refuses every provider.
func (b Builder) BuildProvider(string, map[string]interface{}) (*Provider, error) {
	return nil, errLeftOut
}

// Provider provides nothing.
type Provider struct{}

// Init refuses.
func (p *Provider) Init() error { return errLeftOut }

// Provide refuses.
func (p *Provider) Provide(chan<- dynamic.Message, *safe.Pool) error { return errLeftOut }
