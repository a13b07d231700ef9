package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/s3store"
)

func Example() {
	bucket := map[string][]byte{} // stands for Amazon S3
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		object, taken := bucket[r.URL.Path]
		switch {
		case r.Method == http.MethodPut && taken && r.Header.Get("If-None-Match") == "*":
			w.WriteHeader(http.StatusPreconditionFailed)
		case r.Method == http.MethodPut:
			bucket[r.URL.Path], _ = io.ReadAll(r.Body)
		case r.Method == http.MethodGet:
			w.Write(object)
		}
	}))
	defer server.Close()

	ctx := context.Background()
	client := s3.New(s3.Options{ // elsewhere: s3.NewFromConfig
		Region:       "eu-west-1",
		BaseEndpoint: aws.String(server.URL),
		UsePathStyle: true,
		Credentials:  aws.AnonymousCredentials{},
	})
	files, err := s3store.New(client, "my-bucket", "sealed/", nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(files)

	key := store.NewKey()
	fmt.Println(files.Put(ctx, key, []byte("what was sealed")))
	sealed, err := files.Get(ctx, key, 64<<20)
	fmt.Printf("%q %v\n", sealed, err)
	err = files.Put(ctx, key, []byte("something else"))
	fmt.Println("taken:", errors.Is(err, store.ErrExists))
	// Output:
	// s3store.Store(s3://my-bucket/sealed/)
	// <nil>
	// "what was sealed" <nil>
	// taken: true
}
