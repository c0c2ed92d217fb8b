// Package storage names the schemes of places that models may lie at, which is all that KServe's controller asks of it.
// The clients of these places, which its agent downloads models with, bring the SDKs of four clouds: a third of what
// the controller is compiled from.
package storage

// GetAllProtocol gives the schemes that a TrainedModel may be read from.
func GetAllProtocol() []string {
	return []string{"s3://", "gs://", "https://", "http://"}
}
