package awskms_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
)

const (
	uuid = "1234abcd-12ab-34cd-56ef-1234567890ab"
	arn  = "arn:aws:kms:eu-west-1:111122223333:key/" + uuid

	aliasARN = "arn:aws:kms:eu-west-1:111122223333:alias/users"
)

// isolate keeps what the SDK would find on this machine away, and sets some of the environment.
func isolate(t *testing.T, env map[string]string) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	all := map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_KMS": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
	}
	for name, value := range env {
		all[name] = value
	}
	for name, value := range all {
		t.Setenv(name, value)
		if value == "" {
			os.Unsetenv(name)
		}
	}
}

// keys are credentials in the environment.
var keys = map[string]string{"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}

// server answers in place of AWS KMS, and counts.
type server struct {
	*httptest.Server
	requests atomic.Int64
}

func serve(t *testing.T, h http.HandlerFunc) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func encrypt(t *testing.T, s kms.Service) kms.Result {
	t.Helper()
	if c, ok := s.(interface{ Close() error }); ok {
		defer c.Close()
	}
	return s.Encrypt(t.Context(), []kms.Item{{Data: []byte("data key")}})[0]
}

func newService(t *testing.T, id string, opts *awskms.Options) kms.Service {
	t.Helper()
	s, err := awskms.New(id, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContradictionsAreRefused(t *testing.T) {
	isolate(t, nil)
	client := sdk.New(sdk.Options{Region: "us-east-1"})
	for name, test := range map[string]struct {
		id   string
		opts awskms.Options
		says string
	}{
		"no region":                    {"alias/users", awskms.Options{}, "AWS_REGION"},
		"another region than the ARN":  {arn, awskms.Options{Region: "us-east-1"}, "us-east-1"},
		"a client in another region":   {arn, awskms.Options{Client: client}, "us-east-1"},
		"a client and a region":        {uuid, awskms.Options{Client: client, Region: "us-east-1"}, "Client"},
		"a client and an endpoint":     {uuid, awskms.Options{Client: client, Endpoint: "https://kms.example.org"}, "Client"},
		"an endpoint that is no URL":   {arn, awskms.Options{Endpoint: "kms.example.org:443"}, "https://HOST"},
		"an endpoint of another sort":  {arn, awskms.Options{Endpoint: "ftp://kms.example.org"}, "https://HOST"},
		"an allowed key without ARN":   {arn, awskms.Options{AllowedKeys: []string{uuid}}, uuid},
		"an allowed alias":             {arn, awskms.Options{AllowedKeys: []string{aliasARN}}, "alias/users"},
		"an allowed key without sense": {arn, awskms.Options{AllowedKeys: []string{arn, ""}}, "key ARNs"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := awskms.New(test.id, &test.opts)
			if s != nil || !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
}

func TestAConfigurationThatCannotBeUsedIsNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for name, test := range map[string]struct {
		env  map[string]string
		says string
	}{
		"profile":     {map[string]string{"AWS_PROFILE": "staging"}, `"staging"`},
		"certificate": {map[string]string{"AWS_CA_BUNDLE": missing}, "AWS_CA_BUNDLE"},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t, test.env)
			if _, err := awskms.New(arn, nil); !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Some people set a variable to a secret where the name of its file, or a URL, belongs.
func TestSecretsInPlaceOfTheirFilesNameAreNotPrinted(t *testing.T) {
	const secret = "secret-content"
	const pem = "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n"
	long := strings.Repeat(secret, 1000)
	for variable, values := range map[string][]string{
		"AWS_CA_BUNDLE":                          {pem, long},
		"AWS_CONFIG_FILE":                        {"[default]\naws_secret_access_key = " + secret, long},
		"AWS_SHARED_CREDENTIALS_FILE":            {"[default]\naws_secret_access_key = " + secret, long},
		"AWS_WEB_IDENTITY_TOKEN_FILE":            {secret, long},
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": {secret, long},
		"AWS_CONTAINER_AUTHORIZATION_TOKEN":      {secret + "\nX-Other: header"},
		"AWS_CONTAINER_CREDENTIALS_FULL_URI":     {"http://me:" + secret + "@192.0.2.1/", secret},
		"AWS_ENDPOINT_URL":                       {"http://me:" + secret + "@127.0.0.1:1", secret},
		"AWS_ENDPOINT_URL_KMS":                   {"http://me:" + secret + "@127.0.0.1:1", secret},
		"AWS_ENDPOINT_URL_STS":                   {"http://me:" + secret + "@127.0.0.1:1", secret},
		"AWS_RETRY_MODE":                         {secret},
	} {
		for _, value := range values {
			env := map[string]string{variable: value, "AWS_MAX_ATTEMPTS": "1"}
			switch {
			case strings.HasPrefix(variable, "AWS_CONTAINER_AUTHORIZATION"):
				env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:1"
			case variable == "AWS_WEB_IDENTITY_TOKEN_FILE", variable == "AWS_ENDPOINT_URL_STS":
				env["AWS_ROLE_ARN"] = "arn:aws:iam::111122223333:role/app"
			}
			if variable == "AWS_ENDPOINT_URL_STS" {
				env["AWS_WEB_IDENTITY_TOKEN_FILE"] = filepath.Join(t.TempDir(), "token")
				if err := os.WriteFile(env["AWS_WEB_IDENTITY_TOKEN_FILE"], []byte(secret), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Run(variable, func(t *testing.T) {
				isolate(t, env)
				s, err := awskms.New(arn, nil)
				if err == nil {
					err = encrypt(t, s).Err
				}
				if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// What a service says is right for the region and the endpoint of the environment, too.
func TestTheEndpointOfTheOptionsGoesBeforeTheEnvironments(t *testing.T) {
	isolate(t, keys)
	one, other := serve(t, answer(200, "{}")), serve(t, answer(200, "{}"))
	t.Setenv("AWS_ENDPOINT_URL_KMS", one.URL)
	encrypt(t, newService(t, arn, nil))
	encrypt(t, newService(t, arn, &awskms.Options{Endpoint: other.URL}))
	if one.requests.Load() != 1 || other.requests.Load() != 1 {
		t.Errorf("%d requests to the environment's, %d to the option's", one.requests.Load(), other.requests.Load())
	}
}

// In the mode "auto" the SDK would ask for the machine's region as soon as it is set up.
func TestNewMakesNoRequest(t *testing.T) {
	metadata := serve(t, answer(200, `{"AccessKeyId":"AKIATEST","SecretAccessKey":"secret"}`))
	service := serve(t, answer(200, "{}"))
	isolate(t, map[string]string{
		"AWS_DEFAULTS_MODE": "auto", "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.URL,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": metadata.URL, "AWS_ENDPOINT_URL_KMS": service.URL,
	})
	s := newService(t, arn, nil)
	if n := metadata.requests.Load() + service.requests.Load(); n != 0 {
		t.Errorf("New made %d requests", n)
	}
	for range 3 {
		encrypt(t, s)
	}
	if metadata.requests.Load() != 1 || service.requests.Load() != 3 {
		t.Errorf("%d requests for credentials and %d to the service, want 1 and 3", metadata.requests.Load(), service.requests.Load())
	}
}

func TestSizesAreRefusedWithoutARequest(t *testing.T) {
	isolate(t, keys)
	kmsServer := serve(t, answer(200, "{}"))
	s := newService(t, arn, &awskms.Options{Endpoint: kmsServer.URL})
	rewrap := s.(kms.Rewrapper)
	for _, n := range []int{0, 4097} {
		if r := s.Encrypt(t.Context(), []kms.Item{{Data: make([]byte, n)}})[0]; !errors.Is(r.Err, kms.ErrInvalidRequest) {
			t.Errorf("a plaintext of %d bytes: %v", n, r.Err)
		}
	}
	for _, n := range []int{0, 6145} {
		item := kms.Item{Data: make([]byte, n)}
		if r := s.Decrypt(t.Context(), []kms.Item{item})[0]; !errors.Is(r.Err, kms.ErrDecryptionFailed) {
			t.Errorf("a ciphertext of %d bytes: %v", n, r.Err)
		}
		if r := rewrap.Rewrap(t.Context(), []kms.RewrapItem{{Item: item}})[0]; !errors.Is(r.Err, kms.ErrDecryptionFailed) {
			t.Errorf("rewrap of %d bytes: %v", n, r.Err)
		}
	}
	if n := kmsServer.requests.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestAnAnswerThatLacksSomethingIsNotUsed(t *testing.T) {
	isolate(t, keys)
	const both = `"KeyId":"` + arn + `","SourceKeyId":"` + arn + `"`
	const data = `"CiphertextBlob":"Y2lwaGVydGV4dA==","Plaintext":"Y2lwaGVydGV4dA==",`
	for name, test := range map[string]struct {
		answer string
		used   map[string]bool
	}{
		"nothing":    {data + both, map[string]bool{"encrypt": true, "decrypt": true, "rewrap": true}},
		"the data":   {both, nil},
		"the key":    {data + `"SourceKeyId":"` + arn + `"`, nil},
		"the source": {data + `"KeyId":"` + arn + `"`, map[string]bool{"encrypt": true, "decrypt": true}},
		"all":        {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, arn, &awskms.Options{Endpoint: serve(t, answer(200, "{"+test.answer+"}")).URL})
			item := kms.Item{Data: []byte("32 bytes")}
			for op, r := range map[string]kms.Result{
				"encrypt": s.Encrypt(t.Context(), []kms.Item{item})[0],
				"decrypt": s.Decrypt(t.Context(), []kms.Item{item})[0],
				"rewrap":  s.(kms.Rewrapper).Rewrap(t.Context(), []kms.RewrapItem{{Item: item}})[0],
			} {
				used := r.Err == nil && string(r.Data) == "ciphertext"
				refused := errors.Is(r.Err, kms.ErrUnavailable) && r.Data == nil
				if used != test.used[op] || refused == test.used[op] {
					t.Errorf("%s: %q, %v", op, r.Data, r.Err)
				}
			}
		})
	}
}

// A proxy's password stands in its URL, which the standard library prints where it cannot be parsed.
func TestNetworkErrorsSayWhatIsWrong(t *testing.T) {
	const password = "proxy-password"
	plain := serve(t, answer(200, "{}"))
	secure := httptest.NewUnstartedServer(answer(200, "{}"))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for name, test := range map[string]struct {
		endpoint, says string
	}{
		"nobody listens":          {"http://127.0.0.1:1", "connection refused"},
		"an unknown certificate":  {secure.URL, "certificate"},
		"HTTP where it is HTTPS":  {strings.Replace(plain.URL, "http:", "https:", 1), "HTTP response to HTTPS client"},
		"HTTPS where it is HTTP":  {strings.Replace(secure.URL, "https:", "http:", 1), "HTTP status 400"},
		"a proxy that is no URL":  {"https://kms.example.org", "proxy"},
		"a proxy that is not one": {"https://kms.example.org", "proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t, keys)
			opts := &awskms.Options{Endpoint: test.endpoint}
			if strings.Contains(name, "proxy") {
				proxy := "http://user:" + password + "@127.0.0.1:1"
				if strings.Contains(name, "no URL") {
					proxy += "/%zz"
				}
				opts = &awskms.Options{Client: proxied(t, proxy)}
			}
			err := encrypt(t, newService(t, arn, opts)).Err
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), password) {
				t.Errorf("got %v", err)
			}
			if !errors.Is(err, kms.ErrUnavailable) && !strings.Contains(err.Error(), "HTTP status 400") {
				t.Errorf("got %v, want it unavailable", err)
			}
		})
	}
}

// proxied reads the proxy as the standard library does from the environment, which it reads only once.
func proxied(t *testing.T, proxy string) *sdk.Client {
	t.Helper()
	return sdk.New(sdk.Options{
		Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
		HTTPClient: &http.Client{Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
			u, err := url.Parse(proxy)
			if err != nil {
				return nil, fmt.Errorf("invalid proxy address %q: %w", proxy, err)
			}
			return u, nil
		}}},
	})
}

// A web identity's role is asked for at STS: its errors are told from those of KMS.
func TestCredentialsThatCannotBeHad(t *testing.T) {
	const secret = "what-the-source-printed"
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	sts := func(status int, code string) map[string]string {
		body := "<ErrorResponse><Error><Code>" + code + "</Code><Message>" + secret + "</Message></Error></ErrorResponse>"
		return map[string]string{
			"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/app", "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_MAX_ATTEMPTS": "1",
			"AWS_ENDPOINT_URL_STS": serve(t, answer(status, body)).URL,
		}
	}
	agent := map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
	away := sts(200, "")
	away["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:1"
	for name, test := range map[string]struct {
		env  map[string]string
		want error
		says string
	}{
		"none":                        {nil, kms.ErrAccessDenied, "set AWS_ACCESS_KEY_ID"},
		"a role that is denied":       {sts(403, "AccessDenied"), kms.ErrAccessDenied, "STS AssumeRoleWithWebIdentity: AccessDenied"},
		"an expired identity":         {sts(400, "ExpiredTokenException"), kms.ErrAccessDenied, "ExpiredTokenException"},
		"STS throttles":               {sts(400, "Throttling"), kms.ErrThrottled, "STS"},
		"STS fails":                   {sts(500, "InternalFailure"), kms.ErrUnavailable, "STS"},
		"STS is away":                 {away, kms.ErrUnavailable, "connection refused"},
		"a container's agent is away": {agent, kms.ErrUnavailable, "connection refused"},
		"a process that prints":       {process(t, "echo "+secret), kms.ErrAccessDenied, "no credentials"},
		"a process that fails":        {process(t, "exit 3"), kms.ErrAccessDenied, "no credentials"},
		"a file that makes no sense": {file(t, "[profile staging]\nrole_arn = "+secret+"\ncredential_source = "+secret),
			kms.ErrInvalidRequest, "configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			service := serve(t, answer(200, "{}"))
			isolate(t, test.env)
			r := encrypt(t, newService(t, arn, &awskms.Options{Endpoint: service.URL}))
			if !errors.Is(r.Err, test.want) || !strings.Contains(r.Err.Error(), test.says) {
				t.Errorf("got %v", r.Err)
			}
			if text := fmt.Sprintf("%v %+v %#v", r.Err, r.Err, r.Err); strings.Contains(text, secret) {
				t.Errorf("shows what the source printed: %s", text)
			}
			if n := service.requests.Load(); n != 0 {
				t.Errorf("%d requests to KMS", n)
			}
		})
	}
}

func process(t *testing.T, command string) map[string]string {
	return file(t, "[profile staging]\ncredential_process = "+command)
}

func file(t *testing.T, content string) map[string]string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(name, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"AWS_CONFIG_FILE": name, "AWS_PROFILE": "staging"}
}

func TestAClientOfTheCallersIsUsedAsItIs(t *testing.T) {
	isolate(t, map[string]string{"AWS_PROFILE": "there-is-none"})
	kmsServer := serve(t, answer(200, `{"KeyId":"`+arn+`","CiphertextBlob":"Y2lwaGVydGV4dA=="}`))
	client := sdk.New(sdk.Options{
		Region: "eu-west-1", BaseEndpoint: &kmsServer.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
	})
	if r := encrypt(t, newService(t, uuid, &awskms.Options{Client: client})); r.Err != nil || string(r.Data) != "ciphertext" {
		t.Errorf("%q, %v", r.Data, r.Err)
	}
}
