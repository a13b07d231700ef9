package s3store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/s3store"
)

const (
	content = "storetest-content-of-a-sealed-file"
	limit   = 1 << 20
)

func TestPutSendsItsConditionAndChecksumAsPlainHeaders(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"http": (*httptest.Server).Start, "https": (*httptest.Server).StartTLS,
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{answers: []http.HandlerFunc{ok}}
			s.Server = httptest.NewUnstartedServer(s)
			start(s.Server)
			defer s.Close()
			if err := newStore(t, s, nil).Put(t.Context(), key, []byte(content)); err != nil {
				t.Fatal(err)
			}
			r := s.requests[0]
			if r.method != "PUT" || r.path != "/my-bucket/sealed/"+key || r.body != content {
				t.Errorf("%s %s: %q", r.method, r.path, r.body)
			}
			sum := sha256.Sum256([]byte(content))
			for header, want := range map[string]string{
				"If-None-Match":         "*",
				"Content-Type":          "application/octet-stream",
				"Content-Length":        fmt.Sprint(len(content)),
				"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(sum[:]),
				"Content-Encoding":      "", // else aws-chunked, which not every server understands
				"X-Amz-Trailer":         "",
			} {
				if got := r.header.Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
		})
	}
}

func TestGetAsksForTheChecksumAndComparesIt(t *testing.T) {
	sum := sha256.Sum256([]byte(content))
	with := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
				w.Header().Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
			}
			object(body)(w, r)
		}
	}
	altered := strings.ToUpper(content)
	s := newServer(t, with(content))
	if got, err := newStore(t, s, nil).Get(t.Context(), key, limit); err != nil || string(got) != content {
		t.Errorf("%q, %v", got, err)
	}
	s = newServer(t, with(altered))
	got, err := newStore(t, s, nil).Get(t.Context(), key, limit)
	if got != nil || !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "in part or altered") {
		t.Errorf("altered on the way: %q, %v", got, err)
	}
	s.want(t, "GET GET")
	s = newServer(t, with(altered), with(content))
	if got, err := newStore(t, s, nil).Get(t.Context(), key, limit); err != nil || string(got) != content {
		t.Errorf("altered on the way once: %q, %v", got, err)
	}
}

// Each error of S3, by the method that gets it, the sentinel it is, and how often the request is made.
func TestErrorsOfS3MatchASentinel(t *testing.T) {
	const get, put, remove = "GET", "PUT", "DELETE"
	for _, tc := range []struct {
		method string
		status int
		code   string
		want   error
		times  int
	}{
		{get, 404, "NoSuchKey", store.ErrNotFound, 1},
		{get, 404, "NoSuchBucket", store.ErrUnavailable, 1},
		{get, 404, "", store.ErrUnavailable, 1}, // of a proxy
		{put, 412, "PreconditionFailed", store.ErrExists, 1},
		{put, 412, "", store.ErrExists, 1},
		{put, 404, "NoSuchBucket", store.ErrUnavailable, 1},
		{put, 409, "ConditionalRequestConflict", store.ErrUnavailable, 2},
		{put, 409, "OperationAborted", store.ErrUnavailable, 2},
		{put, 400, "BadDigest", store.ErrUnavailable, 2},
		{put, 400, "XAmzContentSHA256Mismatch", store.ErrUnavailable, 2},
		{put, 400, "RequestTimeout", store.ErrUnavailable, 2},
		{put, 400, "EntityTooLarge", store.ErrUnavailable, 1},
		{put, 501, "NotImplemented", store.ErrUnavailable, 1},
		{put, 301, "PermanentRedirect", store.ErrUnavailable, 1},
		{get, 403, "AccessDenied", store.ErrAccessDenied, 1},
		{put, 403, "AccessDenied", store.ErrAccessDenied, 1},
		{remove, 403, "AccessDenied", store.ErrAccessDenied, 1},
		{remove, 404, "NoSuchBucket", store.ErrUnavailable, 1},
		{get, 403, "", store.ErrAccessDenied, 1},
		{get, 401, "", store.ErrAccessDenied, 1},
		{get, 400, "ExpiredToken", store.ErrAccessDenied, 1},
		{get, 403, "InvalidAccessKeyId", store.ErrAccessDenied, 1},
		{get, 403, "SignatureDoesNotMatch", store.ErrAccessDenied, 1},
		{get, 403, "RequestTimeTooSkewed", store.ErrAccessDenied, 1},
		{get, 400, "AuthorizationHeaderMalformed", store.ErrAccessDenied, 1},
		{get, 403, "InvalidObjectState", store.ErrUnavailable, 1},
		{get, 400, "KMS.DisabledException", store.ErrUnavailable, 1},
		{get, 500, "InternalError", store.ErrUnavailable, 2},
		{get, 502, "", store.ErrUnavailable, 2},
		{get, 503, "SlowDown", store.ErrUnavailable, 6},
	} {
		t.Run(fmt.Sprint(tc.method, " ", tc.status, " ", tc.code), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, refusal(tc.status, tc.code))
			files := newStore(t, s, nil)
			var data []byte
			var err error
			switch tc.method {
			case get:
				data, err = files.Get(t.Context(), key, limit)
			case put:
				err = files.Put(t.Context(), key, []byte(content))
			case remove:
				err = files.Delete(t.Context(), key)
			}
			if !errors.Is(err, tc.want) || data != nil {
				t.Errorf("%q, %v, want %q", data, err, tc.want)
			}
			for _, other := range []error{store.ErrNotFound, store.ErrExists, store.ErrAccessDenied, store.ErrUnavailable} {
				if other != tc.want && errors.Is(err, other) {
					t.Errorf("%v matches %q too", err, other)
				}
			}
			if text := fmt.Sprint(err); !strings.Contains(text, "s3://my-bucket/sealed/"+key) || strings.Contains(text, "a message") {
				t.Error(text)
			}
			s.want(t, strings.TrimSpace(strings.Repeat(tc.method+" ", tc.times)))
		})
	}
}

func TestErrorsTellTheCodeTheRequestAndWhatToDo(t *testing.T) {
	s := newServer(t, refusal(501, "NotImplemented"))
	err := newStore(t, s, nil).Put(t.Context(), key, nil)
	want := "s3store: put s3://my-bucket/sealed/" + key + ": NotImplemented, HTTP status 501; a server without conditional " +
		"writes needs Options.NoConditionalWrites (request 656c76696e6727732072657175657374): unavailable"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}

// A server in debug mode, or something before it, may repeat all that it was sent.
func TestNoErrorRepeatsCredentialsOrContent(t *testing.T) {
	secrets := []string{credentials.AccessKeyID, credentials.SecretAccessKey, credentials.SessionToken, "Signature=", content}
	echo := func(status int, write func(w http.ResponseWriter, all string)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			all := fmt.Sprint(r.Header, content, credentials)
			w.Header().Set("X-Amz-Request-Id", credentials.SessionToken+credentials.SecretAccessKey)
			w.Header().Set("X-Amz-Id-2", all)
			w.WriteHeader(status)
			write(w, all)
		}
	}
	answers := map[string]func(w http.ResponseWriter, all string){
		"message": func(w http.ResponseWriter, all string) {
			fmt.Fprintf(w, "<Error><Code>SignatureDoesNotMatch</Code><Message>%s</Message><StringToSign>%[1]s</StringToSign></Error>", all)
		},
		"code": func(w http.ResponseWriter, all string) { fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", all) },
		"a token": func(w http.ResponseWriter, _ string) {
			fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", credentials.SessionToken)
		},
		"a key": func(w http.ResponseWriter, _ string) {
			fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", credentials.AccessKeyID)
		},
		"text":   func(w http.ResponseWriter, all string) { io.WriteString(w, all) },
		"no end": func(w http.ResponseWriter, all string) { fmt.Fprintf(w, "<Error><Code>%s", all) },
	}
	for name, write := range answers {
		for _, status := range []int{400, 403, 404, 412, 500} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				t.Parallel()
				files := newStore(t, newServer(t, echo(status, write)), nil)
				_, getErr := files.Get(t.Context(), key, limit)
				for op, err := range map[string]error{
					"put": files.Put(t.Context(), key, []byte(content)), "get": getErr, "delete": files.Delete(t.Context(), key),
				} {
					if err == nil {
						t.Errorf("%s: no error", op)
					}
					for _, secret := range secrets {
						if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, secret) {
							t.Errorf("%s shows %q: %s", op, secret, text)
						}
					}
				}
			})
		}
	}
}

func TestFailedCredentialsAreDeniedAccessAndSentNowhere(t *testing.T) {
	s := newServer(t, ok)
	client := s3.New(clientOf(s.Server).Options(), func(o *s3.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("the credential process printed " + credentials.SecretAccessKey)
		})
	})
	files, err := s3store.New(client, "my-bucket", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = files.Put(t.Context(), key, []byte(content))
	if !errors.Is(err, store.ErrAccessDenied) || strings.Contains(err.Error(), credentials.SecretAccessKey) {
		t.Error(err)
	}
	s.want(t, "")
}

func TestAnonymousClientsStayAnonymous(t *testing.T) {
	s := newServer(t, object(content))
	client := s3.New(clientOf(s.Server).Options(), func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	files, err := s3store.New(client, "my-bucket", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := files.Get(t.Context(), key, limit); err != nil || string(got) != content {
		t.Errorf("%q, %v", got, err)
	}
	if a := s.requests[0].header.Get("Authorization"); a != "" {
		t.Errorf("Authorization: %s", a)
	}
}

func TestWhatMayPassIsTriedAgain(t *testing.T) {
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		io.WriteString(w, content[:9])
	}
	slow := refusal(503, "SlowDown")
	for name, tc := range map[string]struct {
		answers  []http.HandlerFunc
		requests string
	}{
		"an internal error":        {[]http.HandlerFunc{refusal(500, "InternalError"), object(content)}, "GET GET"},
		"a lost connection":        {[]http.HandlerFunc{breakOff, object(content)}, "GET GET"},
		"an answer that broke off": {[]http.HandlerFunc{half, object(content)}, "GET GET"},
		"throttling":               {[]http.HandlerFunc{slow, slow, object(content)}, "GET GET GET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, tc.answers...)
			if got, err := newStore(t, s, nil).Get(t.Context(), key, limit); err != nil || string(got) != content {
				t.Errorf("%q, %v", got, err)
			}
			s.want(t, tc.requests)
		})
	}
}

func TestAPutWhoseAnswerWasLostIsNoConflictWithItself(t *testing.T) {
	taken := refusal(412, "PreconditionFailed")
	for name, tc := range map[string]struct {
		answers  []http.HandlerFunc
		want     error
		requests string
	}{
		"its own object":          {[]http.HandlerFunc{breakOff, taken, object(content)}, nil, "PUT PUT GET"},
		"another's":               {[]http.HandlerFunc{breakOff, taken, object("other")}, store.ErrExists, "PUT PUT GET"},
		"another's, as long":      {[]http.HandlerFunc{breakOff, taken, object(strings.ToUpper(content))}, store.ErrExists, "PUT PUT GET"},
		"may not look":            {[]http.HandlerFunc{breakOff, taken, refusal(403, "AccessDenied")}, store.ErrExists, "PUT PUT GET"},
		"taken from the start on": {[]http.HandlerFunc{taken, object(content)}, store.ErrExists, "PUT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, tc.answers...)
			if err := newStore(t, s, nil).Put(t.Context(), key, []byte(content)); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			s.want(t, tc.requests)
		})
	}
}

func TestNoConditionalWritesLooksBeforeItWrites(t *testing.T) {
	missing := refusal(404, "")
	for name, tc := range map[string]struct {
		answers  []http.HandlerFunc
		want     error
		requests string
	}{
		"free":             {[]http.HandlerFunc{missing, ok}, nil, "HEAD PUT"},
		"taken":            {[]http.HandlerFunc{ok}, store.ErrExists, "HEAD"},
		"no right to look": {[]http.HandlerFunc{refusal(403, "")}, store.ErrAccessDenied, "HEAD"},
		"no bucket":        {[]http.HandlerFunc{missing, refusal(404, "NoSuchBucket")}, store.ErrUnavailable, "HEAD PUT"},
		"a lost answer":    {[]http.HandlerFunc{missing, breakOff, ok, object(content)}, nil, "HEAD PUT HEAD GET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, tc.answers...)
			err := newStore(t, s, &s3store.Options{NoConditionalWrites: true}).Put(t.Context(), key, []byte(content))
			if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			s.want(t, tc.requests)
			for _, r := range s.requests {
				if h := r.header.Get("If-None-Match"); h != "" {
					t.Errorf("%s with If-None-Match: %s", r.method, h)
				}
			}
		})
	}
}

func TestDeleteOfAMissingObjectIsFineWhateverTheServerSays(t *testing.T) {
	for _, answer := range []http.HandlerFunc{refusal(204, ""), refusal(404, "NoSuchKey")} {
		if err := newStore(t, newServer(t, answer), nil).Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingWaitsForEver(t *testing.T) {
	stalled := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		io.WriteString(w, content[:9])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	hasty := &s3store.Options{Timeout: 50 * time.Millisecond}
	for name, answer := range map[string]http.HandlerFunc{"no answer": never, "half an answer": stalled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, answer)
			got, err := newStore(t, s, hasty).Get(t.Context(), key, limit)
			if got != nil || !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "Options.Timeout") {
				t.Errorf("Get: %q, %v", got, err)
			}
			s.want(t, "GET GET")
		})
	}
	t.Run("no answer to put and delete", func(t *testing.T) {
		t.Parallel()
		files := newStore(t, newServer(t, never), hasty)
		if err := files.Put(t.Context(), key, []byte(content)); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Put: %v", err)
		}
		if err := files.Delete(t.Context(), key); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Delete: %v", err)
		}
	})
}

func TestALargeObjectMayTakeLongerThanTheTimeout(t *testing.T) {
	large := strings.Repeat("x", 4<<20) // 16 seconds more
	late := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			w.(http.Flusher).Flush()
		}
		time.Sleep(700 * time.Millisecond)
		if r.Method == http.MethodGet {
			io.WriteString(w, large)
		}
	}
	s := newServer(t, late)
	files := newStore(t, s, &s3store.Options{Timeout: 500 * time.Millisecond})
	if err := files.Put(t.Context(), key, []byte(large)); err != nil {
		t.Errorf("Put: %v", err)
	}
	if got, err := files.Get(t.Context(), key, 1<<30); err != nil || string(got) != large {
		t.Errorf("Get: %d bytes, %v", len(got), err)
	}
	s.want(t, "PUT GET")
}

func TestACtxEndsARequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		never(w, r)
	})
	if _, err := newStore(t, s, nil).Get(ctx, key, limit); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
	s.want(t, "GET")

	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := newStore(t, newServer(t, never), nil).Get(ctx, key, limit); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// The pauses take 2.5 seconds in the mean, and the requests next to nothing.
func TestACtxEndsThePausesBetweenAttempts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := newStore(t, newServer(t, refusal(503, "SlowDown")), nil).Get(ctx, key, limit)
	if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

// The server announces more than any memory has, and sends nothing of it.
func TestTheLimitIsHeldBeforeAnythingIsRead(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(1<<42))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	data, err := newStore(t, s, nil).Get(t.Context(), key, limit)
	var large *store.TooLargeError
	if !errors.As(err, &large) || *large != (store.TooLargeError{Size: 1 << 42, Limit: limit}) || data != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	s.want(t, "GET")
}

func TestTheLimitHoldsWhereTheServerDoesNotTellASize(t *testing.T) {
	chunked := func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		io.WriteString(w, content)
	}
	files := newStore(t, newServer(t, chunked), nil)
	for _, limit := range []int64{int64(len(content)), int64(len(content)) + 1, 1<<63 - 1} {
		if got, err := files.Get(t.Context(), key, limit); err != nil || string(got) != content {
			t.Errorf("limit %d: %q, %v", limit, got, err)
		}
	}
	for _, limit := range []int64{int64(len(content)) - 1, 0, -1} {
		got, err := files.Get(t.Context(), key, limit)
		var large *store.TooLargeError
		if !errors.As(err, &large) || *large != (store.TooLargeError{Size: -1, Limit: limit}) || got != nil {
			t.Errorf("limit %d: %q, %v", limit, got, err)
		}
	}
	brokenOff := func(w http.ResponseWriter, r *http.Request) {
		chunked(w, r)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	if got, err := newStore(t, newServer(t, brokenOff), nil).Get(t.Context(), key, limit); got != nil || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("broken off: %q, %v", got, err)
	}
}

func TestWhatIsNoKeyReachesNoServer(t *testing.T) {
	s := newServer(t, ok)
	files := newStore(t, s, nil)
	for _, key := range []string{"", "abc", "../other-prefix/aabb", "aabb?versionId=1"} {
		if err := files.Put(t.Context(), key, nil); !errors.Is(err, store.ErrInvalidKey) || !strings.Contains(err.Error(), "s3://my-bucket/") {
			t.Errorf("%q: %v", key, err)
		}
	}
	s.want(t, "")
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	client := s3.New(s3.Options{})
	for name, tc := range map[string]struct {
		client         *s3.Client
		bucket, prefix string
		opts           *s3store.Options
		want           string
	}{
		"no client":           {nil, "b", "", nil, "no client"},
		"no bucket":           {client, "", "", nil, "no bucket"},
		"a negative time":     {client, "b", "", &s3store.Options{Timeout: -1}, "Options.Timeout is -1ns"},
		"a leading slash":     {client, "b", "/sealed/", nil, `prefix "/sealed/" has a slash too many`},
		"a slash alone":       {client, "b", "/", nil, "has a slash too many"},
		"two slashes":         {client, "b", "sealed//x/", nil, "has a slash too many"},
		"a parent":            {client, "b", "sealed/../x/", nil, "a folder named . or .."},
		"a dot":               {client, "b", "./", nil, "a folder named . or .."},
		"a last parent":       {client, "b", "sealed/..", nil, "a folder named . or .."},
		"a control character": {client, "b", "sealed\n/", nil, "control character"},
		"a backslash":         {client, "b", `sealed\`, nil, "backslash"},
		"no UTF-8":            {client, "b", "sealed\xff/", nil, "not UTF-8"},
		"too long":            {client, "b", strings.Repeat("x", 770), nil, "has 770 bytes, and at most 769 are possible"},
	} {
		if s, err := s3store.New(tc.client, tc.bucket, tc.prefix, tc.opts); s != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	for _, prefix := range []string{"", "sealed/", "sealed-", "a/b/c/", "ö/", "v1.2/", strings.Repeat("x", 769)} {
		if _, err := s3store.New(client, "b", prefix, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestAPrintedStoreShowsNoCredentials(t *testing.T) {
	files := newStore(t, newServer(t, ok), nil)
	encoded, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("made", "store", files)
	for _, text := range []string{
		fmt.Sprintf("%v", files), fmt.Sprintf("%+v", files), fmt.Sprintf("%#v", files), fmt.Sprintf("%s %d", files, files),
		string(encoded), logged.String(),
	} {
		if !strings.Contains(text, "s3store.Store(s3://my-bucket/sealed/)") || strings.Contains(text, "AKIA") || strings.Contains(text, "0x") {
			t.Error(text)
		}
	}
}
