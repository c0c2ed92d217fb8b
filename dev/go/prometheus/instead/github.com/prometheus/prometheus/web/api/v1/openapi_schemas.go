// Empty: see openapi.go.

package v1
