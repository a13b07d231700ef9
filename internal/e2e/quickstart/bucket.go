package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/s3store"
)

// newBucket is a Store in Amazon S3.
func newBucket(ctx context.Context) (store.Store, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return s3store.New(s3.NewFromConfig(cfg), "my-bucket", "sealed/", nil)
}
