package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/rowseal/rowseal/internal/e2e/awstest"
	"github.com/rowseal/rowseal/internal/e2e/e2etest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
)

// answer is a handler that says the same to everyone.
func answer(status int, header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// broken sends the beginning of an answer and resets the connection.
func broken(beginning string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(buffered, beginning)
		buffered.Flush()
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

// silent never answers; stalled stops in the middle.
func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func stalled(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, `{"KeyId":`)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

const unavailable = `{"__type":"ServiceUnavailable"}`

func TestFaults(t *testing.T) {
	const jsonHead = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: 500\r\n\r\n"
	for name, test := range map[string]struct {
		fault    http.HandlerFunc
		faults   int
		want     error // nil: mended
		requests int
	}{
		"reset before the answer":         {broken(""), 9, kms.ErrUnavailable, 2},
		"reset in the middle of a header": {broken("HTTP/1.1 200 OK\r\nConte"), 9, kms.ErrUnavailable, 2},
		"reset in the middle of a body":   {broken(jsonHead + `{"KeyId":"arn`), 9, kms.ErrUnavailable, 2},
		"one reset":                       {broken(jsonHead), 1, nil, 2},
		"an answer that is no JSON":       {answer(200, "", "<html>"), 9, kms.ErrUnavailable, 2},
		"an answer of other types":        {answer(200, "", `{"KeyId":7,"CiphertextBlob":{}}`), 9, kms.ErrUnavailable, 2},
		"an answer that is no base64":     {answer(200, "", `{"KeyId":"ARN","CiphertextBlob":"?"}`), 9, kms.ErrUnavailable, 2},
		"an empty answer":                 {answer(200, "", ""), 9, kms.ErrWrongAnswer, 1},
		"an empty object":                 {answer(200, "", "{}"), 9, kms.ErrWrongAnswer, 1},
		"no ciphertext":                   {answer(200, "", `{"KeyId":"ARN"}`), 9, kms.ErrWrongAnswer, 1},
		"an error that is no JSON":        {answer(502, "", "<html>bad gateway"), 9, kms.ErrUnavailable, 2},
		"a refusal that is no JSON":       {answer(403, "", "<html>forbidden"), 9, kms.ErrInvalidRequest, 1},
		"a redirect":                      {answer(302, "Location: /elsewhere", ""), 9, kms.ErrUnavailable, 2},
		"a redirect of the same method":   {answer(307, "Location: /elsewhere", ""), 9, kms.ErrUnavailable, 2},
		"one 500":                         {answer(500, "", `{"__type":"KMSInternalException"}`), 1, nil, 2},
		"always 500":                      {answer(500, "", `{"__type":"KMSInternalException"}`), 9, kms.ErrUnavailable, 2},
		"503, and again at once":          {answer(503, "Retry-After: 0", unavailable), 1, nil, 2},
		"503, and again in a minute":      {answer(503, "Retry-After: 60", unavailable), 9, kms.ErrUnavailable, 1},
		"429, and again in a minute":      {answer(429, "Retry-After: 60", ""), 9, kms.ErrThrottled, 1},
		"throttled, and a minute to wait": {answer(400, "Retry-After: 60", `{"__type":"ThrottlingException"}`), 9, kms.ErrThrottled, 1},
		"throttled twice":                 {awstest.Refuse("ThrottlingException", "Rate exceeded"), 2, nil, 3},
		"an error in a namespace":         {answer(400, "", `{"__type":"com.amazonaws.kms#DisabledException"}`), 9, kms.ErrKeyDisabled, 1},
		"denied":                          {awstest.Refuse("AccessDeniedException", "no"), 9, kms.ErrAccessDenied, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			environment(t, s.Server, s.all)
			before := e2etest.Goroutines()
			k := key(t, s.arn, nil)
			s.Next(test.faults, test.fault)
			ciphertext, err := k.Encrypt(t.Context(), dataKey, row)
			if test.want == nil && err != nil || !errors.Is(err, test.want) || (ciphertext != nil) != (test.want == nil) {
				t.Errorf("%d bytes, %v", len(ciphertext), err)
			}
			if asked := len(s.Requests()); asked != test.requests {
				t.Errorf("%d requests, want %d: %v", asked, test.requests, err)
			}
			if after := (*kms.RetryAfter)(nil); strings.Contains(name, "a minute") && (!errors.As(err, &after) || after.Wait != time.Minute) {
				t.Errorf("the minute is lost: %v", err)
			}
			k.Close()
			e2etest.Settle(t, before)
		})
	}
}

func TestRefusedConnectionsEndInUnavailable(t *testing.T) {
	expectTwoRequests(t, unreachable(t), 0)
}

func TestAKeysTimeoutEndsARequest(t *testing.T) {
	s := newStage(t)
	s.Next(9, silent)
	expectTwoRequests(t, s.service(t), 50*time.Millisecond)
}

// expectTwoRequests counts them where they are made: they need not have arrived.
func expectTwoRequests(t *testing.T, service kms.Service, timeout time.Duration) {
	t.Helper()
	requests := &counter{}
	k := kms.NewKey(service, &kms.KeyOptions{Timeout: timeout, Observers: []kms.Observer{requests}})
	_, err := k.Encrypt(t.Context(), dataKey, row)
	expectError(t, nil, err, kms.ErrUnavailable)
	if requests.made != 2 {
		t.Errorf("%d requests, want 2", requests.made)
	}
}

type counter struct{ made int }

func (c *counter) Observe(_ context.Context, e kms.Event) { c.made += e.Requests }

// The client that we make gives up by itself, without a deadline of the caller's or the Key's.
func TestNoAnswerIsWaitedForForEver(t *testing.T) {
	s := newStage(t)
	environment(t, s.Server, s.all)
	faults := map[string]http.HandlerFunc{"silent": silent, "stalled": stalled}
	var wg sync.WaitGroup
	for name, fault := range faults {
		silence := newStage(t)
		silence.Next(9, fault)
		service := service(t, "alias/users", &awskms.Options{Endpoint: silence.URL})
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // so that the test ends where this is broken
			defer cancel()
			r := service.Encrypt(ctx, []kms.Item{{Data: dataKey, Context: row}})[0]
			if !errors.Is(r.Err, kms.ErrUnavailable) || errors.Is(r.Err, context.DeadlineExceeded) || r.Data != nil {
				t.Errorf("%s: %v", name, r.Err)
			}
			if n := len(silence.Requests()); n != 1 {
				t.Errorf("%s: %d requests, want 1", name, n)
			}
		})
	}
	wg.Wait()
}

func TestCredentialsThatExpireMidway(t *testing.T) {
	s := newStage(t)
	k := s.key(t)
	ciphertext := seal(t, k)
	s.Expire(s.all)
	plaintext, err := k.Decrypt(t.Context(), ciphertext, row)
	expectError(t, plaintext, err, kms.ErrAccessDenied)
	expectRequests(t, s.Server, "Encrypt "+s.arn, "Decrypt "+s.arn)
}

// The caller's client keeps its retries for all else that it is used for.
func TestTheCallersClientIsNotChanged(t *testing.T) {
	s := newStage(t)
	c := client(t, s.Server, region, s.all)
	types := func() string { return fmt.Sprintf("%T and %T", c.Options().Retryer, c.Options().Credentials) }
	before := types()
	svc := service(t, s.arn, &awskms.Options{Client: c})
	failing := awstest.Refuse("KMSInternalException", "")

	s.Next(1, failing)
	if err := encrypt(t, svc); !errors.Is(err, kms.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	expectRequests(t, s.Server, "Encrypt "+s.arn)

	s.Next(1, failing)
	if _, err := c.Encrypt(t.Context(), &sdk.EncryptInput{KeyId: &s.arn, Plaintext: dataKey}); err != nil {
		t.Errorf("the client itself no longer tries again: %v", err)
	}
	expectRequests(t, s.Server, "Encrypt "+s.arn, "Encrypt "+s.arn)

	if err := svc.(interface{ Close() error }).Close(); err != nil {
		t.Error(err)
	}
	if after := types(); after != before {
		t.Errorf("the client has %s, and had %s", after, before)
	}
	if _, err := c.Encrypt(t.Context(), &sdk.EncryptInput{KeyId: &s.arn, Plaintext: dataKey}); err != nil {
		t.Errorf("the client is closed: %v", err)
	}
}

func TestManyRequestsAtOnceLeaveNothingBehind(t *testing.T) {
	s := newStage(t)
	environment(t, s.Server, s.all)
	before := e2etest.Goroutines()
	k := key(t, s.arn, nil)
	items := make([]kms.Item, 64)
	for i := range items {
		items[i] = kms.Item{Data: dataKey, Context: kms.Context{"model_id": fmt.Sprint(i)}}
	}
	for _, r := range k.EncryptBatch(t.Context(), items) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if n := len(s.Requests()); n != len(items) {
		t.Errorf("%d requests for %d items", n, len(items))
	}
	k.Close()
	e2etest.Settle(t, before)
}
