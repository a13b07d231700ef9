// Package kmstest tests what implements and what uses a kms.Service: [Run] is the suite that every service of rowseal
// passes, and [Fake] is a service in memory with faults, latency, throttling, permissions and exact counts.
//
// It is for tests. A test of code that wraps data keys holds it to its number of requests like this:
//
//	fake := &kmstest.Fake{BatchSize: 240}
//	key := kms.NewKey(fake, nil)
//	… // the code under test, with key
//	if n := fake.Requests(kms.OpDecrypt); n != 1 { … }
package kmstest
