package kmstest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// A fake counts what a program asks of a KMS.
func ExampleFake() {
	fake := &kmstest.Fake{BatchSize: 100}
	key := kms.NewKey(fake, nil)

	items := make([]kms.Item, 250)
	for i := range items {
		items[i] = kms.Item{Data: []byte("data key"), Context: kms.Context{"model_id": fmt.Sprint(i)}}
	}
	key.EncryptBatch(context.Background(), items)
	fmt.Println(fake.Requests(kms.OpEncrypt), "requests for", fake.Items(kms.OpEncrypt), "items")

	fake.Deny(kms.OpEncrypt)
	_, err := key.Encrypt(context.Background(), []byte("data key"), nil)
	fmt.Println(err)
	// Output:
	// 3 requests for 250 items
	// kms: encrypt with fake-key: access denied
}

// A provider's test hands its service to the suite.
func ExampleRun() {
	_ = func(t *testing.T) {
		service := kmstest.NewFake()
		kmstest.Run(t, kmstest.Harness{
			New:     func(*testing.T) kms.Service { return service },
			Other:   func(*testing.T) kms.Service { return &kmstest.Fake{ID: "another"} },
			Disable: func(*testing.T) { service.Disable() },
			Enable:  func(*testing.T) { service.Enable() },
		})
	}
}
