package metrics

import (
	"context"

	"github.com/rs/zerolog/log"
	otypes "github.com/traefik/traefik/v3/pkg/observability/types"
)

// RegisterInfluxDB2 gives no registry and says so: a local cluster's metrics are read by Prometheus. InfluxDB's clients,
// an old and a new one, stay out.
func RegisterInfluxDB2(ctx context.Context, _ *otypes.InfluxDB2) Registry {
	log.Ctx(ctx).Error().Msg("this Traefik was built without metrics for InfluxDB")
	return nil
}

// StopInfluxDB2 has nothing to stop.
func StopInfluxDB2() {}
