package storetest_test

import (
	"context"
	"fmt"

	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/storetest"
)

// Code that takes a store.Store needs no directory and no bucket in its tests.
func ExampleMemory() {
	ctx := context.Background()
	files := &storetest.Memory{}

	license := store.NewKey()
	fmt.Println(files.Put(ctx, license, []byte("a sealed file")))
	fmt.Println(len(files.Keys()), "object")

	fmt.Println(files.Delete(ctx, license))
	fmt.Println(len(files.Keys()), "objects")
	// Output:
	// <nil>
	// 1 object
	// <nil>
	// 0 objects
}
