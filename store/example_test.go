package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rowseal/rowseal/store"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "storage-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	var files store.Store = store.Dir{Path: dir}

	old, key := store.NewKey(), store.NewKey()
	fmt.Println("put:", files.Put(ctx, old, []byte("what was sealed first")))
	fmt.Println("put:", files.Put(ctx, key, []byte("what was sealed then")))
	fmt.Println("delete what no row names any more:", files.Delete(ctx, old))

	sealed, err := files.Get(ctx, key, 64<<20)
	fmt.Printf("get: %q, %v\n", sealed, err)
	_, err = files.Get(ctx, old, 64<<20)
	fmt.Println("get the old one: not found", errors.Is(err, store.ErrNotFound))
	// Output:
	// put: <nil>
	// put: <nil>
	// delete what no row names any more: <nil>
	// get: "what was sealed then", <nil>
	// get the old one: not found true
}

// A limit is a promise about memory: an object above it is not read.
func ExampleTooLargeError() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "storage-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	files := store.Dir{Path: dir}

	key := store.NewKey()
	if err := files.Put(ctx, key, make([]byte, 5<<20)); err != nil {
		panic(err)
	}
	_, err = files.Get(ctx, key, 1<<20)
	var large *store.TooLargeError
	fmt.Println(errors.As(err, &large), large)
	// Output:
	// true the object has 5242880 bytes, and 1048576 are allowed; raise the limit if files may be that large
}
