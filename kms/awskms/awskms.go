// Package awskms wraps data keys with a symmetric key of AWS KMS (https://docs.aws.amazon.com/kms/).
//
//	import (
//		"github.com/rowseal/rowseal/kms"
//		_ "github.com/rowseal/rowseal/kms/awskms"
//	)
//
//	key, err := kms.Open(ctx, "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", nil)
//
// docs/aws.md has the commands that set a key up, and docs/permissions.md the policies.
//
// # Key ids
//
//	arn:aws:kms:REGION:ACCOUNT:key/ID       key ARN: the best form; says everything, and another key never answers
//	arn:aws:kms:REGION:ACCOUNT:alias/NAME   alias ARN
//	1234abcd-12ab-34cd-56ef-1234567890ab    key id, in the caller's account
//	mrk-1234abcd12ab34cd56ef1234567890ab    multi-Region key id, in the caller's account
//	alias/NAME                              alias, in the caller's account
//
// The partition may also be aws-cn, aws-us-gov and so on. An alias can be pointed at another key: then rows that the earlier
// key wrapped do not open, unless Options.AllowedKeys names it.
//
// # Environment
//
// Credentials, region, profile, endpoints, certificates and proxies come from where the AWS SDK takes them:
// AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL_KMS, AWS_USE_FIPS_ENDPOINT, AWS_CA_BUNDLE, ~/.aws, roles
// (https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html). The region of an ARN goes before AWS_REGION.
// [New] reads the environment and the files of ~/.aws, and makes no request; credentials are looked up at the first use. A
// connection is made within 2 seconds and answered within 2; [kms.Key] tries again. AWS_MAX_ATTEMPTS, AWS_RETRY_MODE and
// AWS_DEFAULTS_MODE have no effect on these requests. A client of the caller's own is used as it is, but for its retries.
//
// # Rights
//
//	encrypt    kms:Encrypt
//	decrypt    kms:Decrypt
//	rewrap     kms:ReEncryptFrom on the old key, kms:ReEncryptTo on the new one; not kms:Decrypt
//
// Who may only rewrap reads nothing, but can move a data key to another context, and to any key on which it has
// kms:ReEncryptTo: so never give it kms:Decrypt on the new key, or kms:ReEncryptTo on any other. A policy for an alias must
// name the account. See docs/permissions.md.
//
// # Ciphertexts and contexts
//
// A plaintext has 1 to 4,096 bytes; others are refused without a request. A ciphertext is AWS's own binary form; around 32
// bytes it has about 150 more, and it names the key to AWS. The encryption context is sent as a map, so that context encodings
// have no meaning, and no context and an empty one are the same. AWS authenticates it, case-sensitively and in any order, and
// refuses one of more than 8,192 bytes with kms.ErrInvalidRequest. CloudTrail shows it in clear, in an event a request.
//
// Every request names the key, and every answer is refused unless it names the same: an answer by another is
// kms.ErrWrongAnswer. Of a multi-Region key the replica in the client's Region opens what the others wrapped.
//
// # Limits
//
// AWS KMS has no batches: a data key is a request, of which an account may make 10,000 to 100,000 a second, by region and
// shared with everything else in the account (https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html).
// kms.KeyOptions.Rate keeps a job below that.
package awskms

import (
	"context"
	"fmt"
	"log/slog"

	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/rowseal/rowseal/kms"
)

func init() {
	kms.Register(kms.Provider{
		Name:  "aws",
		Match: looksLikeID,
		Open:  func(_ context.Context, id string) (kms.Service, error) { return New(id, nil) },
	})
}

// Options changes how a key is reached. The zero value takes everything from the environment.
type Options struct {
	// Client is a client of the caller's own, with its region, endpoint, credentials and timeouts. It is not changed and not
	// closed. Its retries are switched off for this package's requests: kms.Key retries.
	Client *sdk.Client
	// Region overrides the environment's, for ids that do not say it. Not together with Client.
	Region string
	// Endpoint is a URL, of a VPC endpoint or an emulator. It overrides AWS_ENDPOINT_URL_KMS. Not together with Client.
	Endpoint string
	// AllowedKeys are ARNs of further keys that may open a ciphertext: what an alias pointed at before. When AWS says that the
	// key does not fit a ciphertext, it is asked once more without naming a key, and what opened is used only if one of these
	// did it. Without them there is no such request.
	AllowedKeys []string
}

// Format prints no client, which has credentials, and no endpoint, which may have a password.
func (o Options) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "awskms.Options(client: %t, region: %q, allowed keys: %q)", o.Client != nil, o.Region, o.AllowedKeys)
}

// LogValue implements slog.LogValuer.
func (o Options) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(o)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (o Options) MarshalText() ([]byte, error) { return fmt.Append(nil, o), nil }

// New returns the service of one key, for kms.NewKey; kms.Open does both without Options. opts may be nil. It makes no
// request. An id of another form, an unknown region or contradictory options are kms.ErrInvalidRequest.
func New(id string, opts *Options) (kms.Service, error) {
	if opts == nil {
		opts = &Options{}
	}
	k, err := parseID(id)
	if err != nil {
		return nil, err
	}
	allowed, err := allowedKeys(opts.AllowedKeys)
	if err != nil {
		return nil, err
	}
	s := &service{id: k, allowed: allowed, client: opts.Client}
	if s.client == nil {
		s.client, s.transport, err = newClient(k.region, opts)
	} else if opts.Region != "" || opts.Endpoint != "" {
		err = fmt.Errorf("awskms: Options.Client has a region and an endpoint; set them there: %w", kms.ErrInvalidRequest)
	}
	if err != nil {
		return nil, err
	}
	if region := s.client.Options().Region; k.region != "" && region != "" && region != k.region {
		return nil, fmt.Errorf("awskms: the key is in the region %s, and the client in %s: %w",
			k.region, region, kms.ErrInvalidRequest)
	}
	return s, nil
}

// allowedKeys wants key ARNs: nothing else can be compared with what AWS answers.
func allowedKeys(arns []string) (map[string]bool, error) {
	allowed := make(map[string]bool)
	for _, arn := range arns {
		if k, err := parseID(arn); err != nil || k.account == "" || k.isAlias() {
			return nil, fmt.Errorf("awskms: Options.AllowedKeys takes key ARNs (arn:aws:kms:REGION:ACCOUNT:key/ID), not %q: %w",
				shortened(arn), kms.ErrInvalidRequest)
		}
		allowed[arn] = true
	}
	return allowed, nil
}
