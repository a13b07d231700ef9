package gcp

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// TestLive runs the conformance suite against Google Cloud KMS itself, or against an emulator.
func TestLive(t *testing.T) {
	id := os.Getenv("ROWSEAL_LIVE_GCP_KEY")
	if id == "" {
		t.Skip("NOT TESTED against Google Cloud KMS: set ROWSEAL_LIVE_GCP_KEY to the id (projects/…/cryptoKeys/…) of a key that " +
			"Application Default Credentials may encrypt and decrypt with. ROWSEAL_LIVE_GCP_OTHER_KEY, a second key, and " +
			"ROWSEAL_LIVE_GCP_ENDPOINT, http://HOST:PORT of an emulator, are optional. About 400 requests, which cost less than one cent.")
	}
	open := func(id string) func(*testing.T) kms.Service {
		return func(t *testing.T) kms.Service { return serviceWith(t, id, liveOptions()) }
	}
	h := kmstest.Harness{New: open(id), Step: 64, MaxPlaintext: 64 << 10}
	if other := os.Getenv("ROWSEAL_LIVE_GCP_OTHER_KEY"); other != "" {
		h.Other = open(other)
	}
	kmstest.Run(t, h)
}

// liveOptions: an emulator takes no credentials and no TLS; https://HOST:PORT is an endpoint of Google's.
func liveOptions() []option.ClientOption {
	endpoint := os.Getenv("ROWSEAL_LIVE_GCP_ENDPOINT")
	if host, ok := strings.CutPrefix(endpoint, "http://"); ok {
		return []option.ClientOption{
			option.WithEndpoint(host),
			option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		}
	}
	if endpoint == "" {
		return nil
	}
	return []option.ClientOption{option.WithEndpoint(strings.TrimPrefix(endpoint, "https://"))}
}
