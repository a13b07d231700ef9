// Package azure tests kms/azurekms with the SDK's real client: against azuretest, and against Azure itself where the environment
// names a key.
package azure
