// Package storetest tests stores against the promises of store.Store, and has one in memory.
//
//	func TestMyStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { return mystore.New(address) })
//	}
//
// [Run] is itself tested with stores that break each promise.
package storetest
