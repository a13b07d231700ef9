package gcpkms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cloudkms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rowseal/rowseal/kms"
)

// server answers as a test says, and counts. Its zero value echoes.
type server struct {
	kmspb.UnimplementedKeyManagementServiceServer
	requests atomic.Int64
	encrypt  func(*kmspb.EncryptRequest) (*kmspb.EncryptResponse, error)
	decrypt  func(*kmspb.DecryptRequest) (*kmspb.DecryptResponse, error)
}

func (s *server) Encrypt(_ context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	s.requests.Add(1)
	if s.encrypt == nil {
		return echo(r), nil
	}
	return s.encrypt(r)
}

func (s *server) Decrypt(_ context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	s.requests.Add(1)
	if s.decrypt == nil {
		return &kmspb.DecryptResponse{Plaintext: r.Ciphertext, PlaintextCrc32C: checksum(r.Ciphertext)}, nil
	}
	return s.decrypt(r)
}

// echo is a right answer whose ciphertext is the plaintext.
func echo(r *kmspb.EncryptRequest) *kmspb.EncryptResponse {
	return &kmspb.EncryptResponse{
		Name: r.Name + "/cryptoKeyVersions/1", Ciphertext: r.Plaintext, CiphertextCrc32C: checksum(r.Plaintext),
		VerifiedPlaintextCrc32C: true, VerifiedAdditionalAuthenticatedDataCrc32C: true,
	}
}

// start returns the options of a client for the server.
func (s *server) start(t *testing.T) []option.ClientOption {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(g, s)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return []option.ClientOption{
		option.WithEndpoint(l.Addr().String()),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

func open(t *testing.T, opts *Options) *service {
	t.Helper()
	s, err := New(testID, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.(*service).Close() })
	return s.(*service)
}

func one(results []kms.Result) kms.Result { return results[0] }

func seal(ctx context.Context, s kms.Service, data string) kms.Result {
	return one(s.Encrypt(ctx, []kms.Item{{Data: []byte(data), Context: kms.Context{"id": "<1>"}}}))
}

func TestRequestsHoldTheContextAsTheGemSendsItAndChecksums(t *testing.T) {
	srv := new(server)
	var encrypted *kmspb.EncryptRequest
	var decrypted *kmspb.DecryptRequest
	srv.encrypt = func(r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) { encrypted = r; return echo(r), nil }
	srv.decrypt = func(r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
		decrypted = r
		return &kmspb.DecryptResponse{Plaintext: []byte("p"), PlaintextCrc32C: checksum([]byte("p"))}, nil
	}
	s := open(t, &Options{ClientOptions: srv.start(t)})
	// "123456789" has the check value of CRC-32C: https://reveng.sourceforge.io/crc-catalogue/17plus.htm#crc.cat.crc-32-iscsi
	const sum = 0xe3069283
	for _, c := range []struct {
		context kms.Context
		aad     string
	}{
		{kms.Context{"model_name": "User", "model_id": "<7>"}, `{"model_id":"\u003c7\u003e","model_name":"User"}`},
		{kms.Context{}, "{}"},
		{nil, ""},
	} {
		item := kms.Item{Data: []byte("123456789"), Context: c.context}
		if r := one(s.Encrypt(t.Context(), []kms.Item{item})); r.Err != nil {
			t.Fatal(r.Err)
		}
		if r := one(s.Decrypt(t.Context(), []kms.Item{item})); r.Err != nil {
			t.Fatal(r.Err)
		}
		if encrypted.Name != testID || decrypted.Name != testID {
			t.Errorf("asked for %s and %s", encrypted.Name, decrypted.Name)
		}
		if string(encrypted.Plaintext) != "123456789" || encrypted.PlaintextCrc32C.GetValue() != sum {
			t.Errorf("plaintext: %v", encrypted)
		}
		if string(decrypted.Ciphertext) != "123456789" || decrypted.CiphertextCrc32C.GetValue() != sum {
			t.Errorf("ciphertext: %v", decrypted)
		}
		for _, got := range []struct {
			aad []byte
			sum *wrapperspb.Int64Value
		}{
			{encrypted.AdditionalAuthenticatedData, encrypted.AdditionalAuthenticatedDataCrc32C},
			{decrypted.AdditionalAuthenticatedData, decrypted.AdditionalAuthenticatedDataCrc32C},
		} {
			if string(got.aad) != c.aad || !matches(got.sum, []byte(c.aad)) {
				t.Errorf("context %v is sent as %q with %v", c.context, got.aad, got.sum)
			}
		}
	}
}

func TestWhatGoogleWouldRefuseForItsSizeIsNotSent(t *testing.T) {
	srv := new(server)
	s := open(t, &Options{ClientOptions: srv.start(t)})
	value := func(n int) kms.Context { return kms.Context{"k": strings.Repeat("x", n-len(`{"k":""}`))} }
	for name, c := range map[string]struct {
		item kms.Item
		does func(context.Context, []kms.Item) []kms.Result
		ok   bool
	}{
		"plaintext at the limit":            {kms.Item{Data: make([]byte, 65536)}, s.Encrypt, true},
		"plaintext beyond":                  {kms.Item{Data: make([]byte, 65537)}, s.Encrypt, false},
		"context at the limit":              {kms.Item{Data: []byte("x"), Context: value(65536)}, s.Encrypt, true},
		"context beyond":                    {kms.Item{Data: []byte("x"), Context: value(65537)}, s.Encrypt, false},
		"context beyond, to open":           {kms.Item{Data: []byte("x"), Context: value(65537)}, s.Decrypt, false},
		"context at the limit, to open":     {kms.Item{Data: []byte("x"), Context: value(65536)}, s.Decrypt, true},
		"ciphertext of the largest content": {kms.Item{Data: make([]byte, 65536+80)}, s.Decrypt, true},
	} {
		before := srv.requests.Load()
		r := one(c.does(t.Context(), []kms.Item{c.item}))
		if c.ok != (r.Err == nil) || !c.ok && !errors.Is(r.Err, kms.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, r.Err)
		}
		if sent := srv.requests.Load() - before; c.ok != (sent == 1) {
			t.Errorf("%s: %d requests", name, sent)
		}
	}
}

func TestAnAnswerThatCannotBeVerifiedIsNotUsed(t *testing.T) {
	for name, spoil := range map[string]func(*kmspb.EncryptResponse){
		"plaintext not verified": func(r *kmspb.EncryptResponse) { r.VerifiedPlaintextCrc32C = false },
		"context not verified":   func(r *kmspb.EncryptResponse) { r.VerifiedAdditionalAuthenticatedDataCrc32C = false },
		"checksum absent":        func(r *kmspb.EncryptResponse) { r.CiphertextCrc32C = nil },
		"checksum wrong":         func(r *kmspb.EncryptResponse) { r.CiphertextCrc32C.Value ^= 1 },
		"ciphertext altered":     func(r *kmspb.EncryptResponse) { r.Ciphertext[0] ^= 1 },
		"another key's name":     func(r *kmspb.EncryptResponse) { r.Name = testID + "2/cryptoKeyVersions/1" },
		"no name":                func(r *kmspb.EncryptResponse) { r.Name = "" },
	} {
		srv := &server{encrypt: func(r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
			answer := echo(r)
			spoil(answer)
			return answer, nil
		}}
		r := seal(t.Context(), open(t, &Options{ClientOptions: srv.start(t)}), "plaintext")
		only(t, r.Err, kms.ErrUnavailable)
		if r.Data != nil {
			t.Errorf("%s: there is data", name)
		}
		if about := strings.Contains(r.Err.Error(), "damaged on the way"); about == strings.Contains(name, "name") {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
	for name, sum := range map[string]*wrapperspb.Int64Value{"absent": nil, "wrong": wrapperspb.Int64(1)} {
		srv := &server{decrypt: func(*kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
			return &kmspb.DecryptResponse{Plaintext: []byte("plaintext"), PlaintextCrc32C: sum}, nil
		}}
		s := open(t, &Options{ClientOptions: srv.start(t)})
		r := one(s.Decrypt(t.Context(), []kms.Item{{Data: []byte("c")}}))
		only(t, r.Err, kms.ErrUnavailable)
		if r.Data != nil || !strings.Contains(r.Err.Error(), "damaged on the way") {
			t.Errorf("checksum %s: %v", name, r.Err)
		}
	}
	// The checksum of no bytes is 0, as an absent one reads.
	srv := &server{decrypt: func(*kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) { return new(kmspb.DecryptResponse), nil }}
	s := open(t, &Options{ClientOptions: srv.start(t)})
	only(t, one(s.Decrypt(t.Context(), []kms.Item{{Data: []byte("c")}})).Err, kms.ErrUnavailable)
}

func TestAPlaintextThatIsNotUsedIsWiped(t *testing.T) {
	plaintext := []byte("plaintext")
	answer := &kmspb.DecryptResponse{Plaintext: plaintext, PlaintextCrc32C: wrapperspb.Int64(1)}
	intercept := func(_ context.Context, _ string, _, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
		*reply.(*kmspb.DecryptResponse) = kmspb.DecryptResponse{Plaintext: answer.Plaintext, PlaintextCrc32C: answer.PlaintextCrc32C}
		return nil
	}
	options := append(new(server).start(t), option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(intercept)))
	s := open(t, &Options{ClientOptions: options})
	only(t, one(s.Decrypt(t.Context(), []kms.Item{{Data: []byte("c")}})).Err, kms.ErrUnavailable)
	if !bytes.Equal(plaintext, make([]byte, len(plaintext))) {
		t.Error("the plaintext is still there")
	}
}

func TestACallIsOneRequest(t *testing.T) {
	refusing := func() *server {
		return &server{encrypt: func(*kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
			return nil, status.Error(codes.Unavailable, "try again")
		}}
	}
	t.Run("with a client of the package", func(t *testing.T) {
		srv := refusing()
		only(t, seal(t.Context(), open(t, &Options{ClientOptions: srv.start(t)}), "x").Err, kms.ErrUnavailable)
		if n := srv.requests.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("with your own, whose settings stay", func(t *testing.T) {
		srv := refusing()
		client, err := cloudkms.NewKeyManagementClient(t.Context(), srv.start(t)...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		before := len(client.CallOptions.Encrypt)
		s := open(t, &Options{Client: client})
		only(t, seal(t.Context(), s, "x").Err, kms.ErrUnavailable)
		if n := srv.requests.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
		if len(client.CallOptions.Encrypt) != before || before == 0 {
			t.Errorf("the client had %d call options and has %d", before, len(client.CallOptions.Encrypt))
		}
		// Google's own settings: to retry what is unavailable. They still do so for others.
		ctx, cancel := context.WithCancel(t.Context())
		srv.encrypt = func(*kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
			if srv.requests.Load() >= 3 {
				cancel()
			}
			return nil, status.Error(codes.Unavailable, "try again")
		}
		client.Encrypt(ctx, &kmspb.EncryptRequest{Name: testID})
		if n := srv.requests.Load(); n < 3 {
			t.Errorf("%d requests: the client does not retry any more", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		//lint:ignore SA1019 there is one connection, and nothing else shows its state
		if client.Connection().GetState() == connectivity.Shutdown {
			t.Error("Close has closed a client that is not its own")
		}
	})
}

func TestSeveralItemsAreCountedEach(t *testing.T) {
	srv := new(server)
	s := open(t, &Options{ClientOptions: srv.start(t)})
	items := []kms.Item{{Data: []byte("a"), Ref: 7}, {Data: []byte("b"), Ref: 5}, {Data: []byte("c"), Ref: 6}}
	results := s.Encrypt(t.Context(), items)
	for i, r := range results {
		if r.Err != nil || string(r.Data) != string(items[i].Data) || r.Ref != items[i].Ref {
			t.Errorf("item %d: %v", i, r)
		}
	}
	key := kms.NewKey(batching{s}, nil)
	failed := 0
	for i, r := range key.EncryptBatch(kms.WithBudget(t.Context(), 2), items) {
		if errors.Is(r.Err, kms.ErrBudget) {
			failed++
		} else if r.Err != nil {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	if n := srv.requests.Load(); failed != 1 || n != 5 {
		t.Errorf("%d items over the budget and %d requests, want 1, and 3 and the 2 of the budget", failed, n)
	}
}

// batching claims that several items fit into a request.
type batching struct{ *service }

func (b batching) Info() kms.Info {
	info := b.service.Info()
	info.BatchSize = 10
	return info
}

func TestTheCallersDeadlineIsTheCallers(t *testing.T) {
	release := make(chan struct{})
	srv := &server{encrypt: func(r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
		<-release
		return echo(r), nil
	}}
	t.Cleanup(func() { close(release) })
	s := open(t, &Options{ClientOptions: srv.start(t)})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := seal(ctx, s, "x"); r.Err != context.DeadlineExceeded {
		t.Errorf("with a deadline: %v", r.Err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if r := seal(ctx, s, "x"); r.Err != context.Canceled {
		t.Errorf("cancelled: %v", r.Err)
	}
	s.timeout = 50 * time.Millisecond
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r := seal(ctx, s, "x")
	only(t, r.Err, kms.ErrUnavailable)
	if errors.Is(r.Err, context.DeadlineExceeded) {
		t.Errorf("the package's own time limit passes for the caller's: %v", r.Err)
	}
}

func TestAContextEncodingThatFailsIsAnInvalidRequest(t *testing.T) {
	srv := new(server)
	s := open(t, &Options{ClientOptions: srv.start(t)})
	for name, encode := range map[string]kms.ContextEncoding{
		"no bytes": func(kms.Context) ([]byte, error) { return nil, nil },
		"an error": func(kms.Context) ([]byte, error) { return nil, errors.New("of its own") },
		"a sentinel": func(kms.Context) ([]byte, error) {
			return nil, fmt.Errorf("of its own: %w", kms.ErrInvalidRequest)
		},
	} {
		items := []kms.Item{{Data: []byte("x"), Context: kms.Context{"id": "1"}, Encoding: encode}}
		for _, err := range []error{one(s.Encrypt(t.Context(), items)).Err, one(s.Decrypt(t.Context(), items)).Err} {
			if only(t, err, kms.ErrInvalidRequest); !wellFormed(err, kms.ErrInvalidRequest) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := srv.requests.Load(); n > 0 {
		t.Errorf("%d requests", n)
	}
}

func TestNoBytesAreNoCiphertextAndAreNotSent(t *testing.T) {
	srv := new(server)
	s := open(t, &Options{ClientOptions: srv.start(t)})
	for _, data := range [][]byte{nil, {}} {
		if err := one(s.Decrypt(t.Context(), []kms.Item{{Data: data}})).Err; err != kms.ErrDecryptionFailed {
			t.Error(err)
		}
	}
	if n := srv.requests.Load(); n > 0 {
		t.Errorf("%d requests", n)
	}
}
