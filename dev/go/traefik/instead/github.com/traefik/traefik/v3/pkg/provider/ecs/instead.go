// Package ecs finds no services: a local cluster is not in Amazon's container service. Its SDK takes longer to compile
// than all of Kubernetes' client.
package ecs

import (
	"errors"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

var errLeftOut = errors.New("this Traefik was built without the provider for ECS")

// Provider can be named in the static configuration, and then says that it was left out.
type Provider struct {
	Clusters []string `description:"Not in this build." json:"clusters,omitempty" toml:"clusters,omitempty" yaml:"clusters,omitempty"`
}

// SetDefaults has nothing to set.
func (p *Provider) SetDefaults() {}

// Init refuses.
func (p *Provider) Init() error { return errLeftOut }

// Provide refuses.
func (p *Provider) Provide(chan<- dynamic.Message, *safe.Pool) error { return errLeftOut }
