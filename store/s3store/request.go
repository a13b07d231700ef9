package s3store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/rowseal/rowseal/store"
)

// slowest is the rate in bytes a second below which a request is given up.
const slowest = 256 << 10

const contentType = "application/octet-stream"

// put takes the name of an object in the bucket, as do the others.
func (s *Store) put(ctx context.Context, name string, data []byte) error {
	write := s.putIfNoneMatch
	if s.opts.NoConditionalWrites {
		write = s.putIfMissing
	}
	attempts, err := s.try(ctx, int64(len(data)), func(ctx context.Context, _ *timer) error { return write(ctx, name, data) })
	if attempts > 1 && errors.Is(err, store.ErrExists) && s.has(ctx, name, data) {
		return nil // an earlier attempt put it, whose answer was lost
	}
	return err
}

func (s *Store) putIfNoneMatch(ctx context.Context, name string, data []byte) error {
	in := s.putInput(name, data)
	in.IfNoneMatch = aws.String("*")
	_, err := s.client.PutObject(ctx, in, s.once)
	return err
}

func (s *Store) putIfMissing(ctx context.Context, name string, data []byte) error {
	_, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &name}, s.once)
	if err == nil {
		return store.ErrExists
	}
	// The answer to HEAD has no body, so no error code: a missing bucket looks the same. PutObject will say so.
	if status, _ := answerOf(err); status != 404 {
		return err
	}
	_, err = s.client.PutObject(ctx, s.putInput(name, data), s.once)
	return err
}

// putInput gives the checksum itself: the SDK's own would come as a trailer, which not every server understands.
func (s *Store) putInput(name string, data []byte) *s3.PutObjectInput {
	sum := sha256.Sum256(data)
	return &s3.PutObjectInput{
		Bucket:         &s.bucket,
		Key:            &name,
		Body:           bytes.NewReader(data),
		ContentLength:  aws.Int64(int64(len(data))),
		ContentType:    aws.String(contentType),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	}
}

func (s *Store) has(ctx context.Context, name string, data []byte) bool {
	stored, err := s.get(ctx, name, int64(len(data)))
	return err == nil && bytes.Equal(stored, data)
}

func (s *Store) get(ctx context.Context, name string, limit int64) (data []byte, err error) {
	_, err = s.try(ctx, 0, func(ctx context.Context, t *timer) error {
		out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
			Bucket:       &s.bucket,
			Key:          &name,
			ChecksumMode: types.ChecksumModeEnabled,
		}, s.once)
		if err != nil {
			return err
		}
		defer out.Body.Close()
		size := int64(-1)
		if out.ContentLength != nil {
			size = *out.ContentLength
		}
		t.allow(max(size, 0))
		data, err = read(out.Body, size, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// read reads to the end, where the checksum is compared. A size of -1 is unknown.
func read(body io.Reader, size, limit int64) ([]byte, error) {
	if size > limit || limit < 0 {
		return nil, &store.TooLargeError{Size: size, Limit: limit}
	}
	if size < 0 {
		return readUnknown(body, limit)
	}
	data := make([]byte, size)
	_, err := io.ReadFull(body, data)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
	}
	if err != nil {
		return nil, &bodyError{err}
	}
	return data, nil
}

func readUnknown(body io.Reader, limit int64) ([]byte, error) {
	var data bytes.Buffer
	_, err := io.CopyN(&data, body, limit)
	if err == nil { // there were as many as are allowed; are there more?
		var n int64
		if n, err = io.CopyN(io.Discard, body, 1); n > 0 {
			return nil, &store.TooLargeError{Size: -1, Limit: limit}
		}
	}
	if err != io.EOF {
		return nil, &bodyError{err}
	}
	return data.Bytes(), nil
}

func (s *Store) delete(ctx context.Context, name string) error {
	_, err := s.try(ctx, 0, func(ctx context.Context, _ *timer) error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &name}, s.once)
		return err
	})
	if errors.Is(err, store.ErrNotFound) { // as some servers answer
		return nil
	}
	return err
}

// once makes one request of a call: try retries. It works on a copy of the client's options.
func (s *Store) once(o *s3.Options) {
	o.Retryer = aws.NopRetryer{}
	o.DisableLogOutputChecksumValidationSkipped = true // a server without checksums is no news with every object
	if o.Credentials != nil {                          // an anonymous client has none
		o.Credentials = markedCredentials{o.Credentials}
	}
}

// timer cancels a request that takes too long.
type timer struct {
	*time.Timer
	timeout time.Duration
}

// allow begins the time anew, with what a number of bytes may take.
func (t *timer) allow(n int64) { t.Reset(t.timeout + timeOf(n)) }

func timeOf(n int64) time.Duration {
	n = min(n, 1<<50) // a size that a server made up must not overflow
	return time.Duration(n/slowest)*time.Second + time.Duration(n%slowest)*time.Second/slowest
}
