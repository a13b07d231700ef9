package awskms

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"

	"github.com/rowseal/rowseal/kms"
)

// environmentCredentials is the SDK's chain of sources, set up at the first use: it may look up host names.
type environmentCredentials struct {
	region string
	mu     sync.Mutex
	chain  aws.CredentialsProvider
}

// Retrieve implements aws.CredentialsProvider. The SDK caches what it returns, and calls it once at a time.
func (e *environmentCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	chain, err := e.load(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return chain.Retrieve(ctx)
}

func (e *environmentCredentials) load(ctx context.Context) (aws.CredentialsProvider, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.chain == nil {
		// A role's own requests go to AWS_REGION where it is set, and are too rare to keep connections for.
		cfg, err := load(ctx, config.WithDefaultRegion(e.region), withoutKeepAlive)
		if err != nil {
			return nil, err
		}
		e.chain = cfg.Credentials
	}
	return e.chain, nil
}

func withoutKeepAlive(o *config.LoadOptions) error {
	client := o.HTTPClient.(*awshttp.BuildableClient)
	o.HTTPClient = client.WithTransportOptions(func(t *http.Transport) { t.DisableKeepAlives = true })
	return nil
}

// markedCredentials marks the errors of credentials, which otherwise look like those of KMS.
type markedCredentials struct{ aws.CredentialsProvider }

func (m markedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := m.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &credentialsError{err}
	}
	return c, nil
}

type credentialsError struct{ cause error }

func (e *credentialsError) Error() string { return "no credentials" }

const findCredentials = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role of the machine; " +
	"\"aws sts get-caller-identity\" must work"

// translate tells which source failed and how. It keeps no message: a credential process's has what the process printed. Who
// cannot be asked has denied nothing, but for ec2imds: that source comes last, and answers on EC2 alone.
func (e *credentialsError) translate(ctx context.Context) error {
	var api smithy.APIError
	var request *smithy.OperationError // to STS, SSO, or the machine's metadata
	isAPI, isRequest := errors.As(e.cause, &api), errors.As(e.cause, &request)
	switch {
	case errors.Is(e.cause, kms.ErrInvalidRequest): // configError
		return e.cause
	case isAPI && isRequest:
		status, _ := answerOf(e.cause)
		is := ruleOf(api.ErrorCode(), status).is
		if is != kms.ErrThrottled && is != kms.ErrUnavailable {
			is = kms.ErrAccessDenied
		}
		return fmt.Errorf("awskms: no credentials: %s %s: %s: %w", request.Service(), request.Operation(), api.ErrorCode(), is)
	case ctx.Err() != nil:
		return fmt.Errorf("awskms: %w", ctx.Err())
	case isRequest && request.Service() != "ec2imds":
		return fmt.Errorf("awskms: no credentials: %s %s: %s: %w",
			request.Service(), request.Operation(), transportText(e.cause), kms.ErrUnavailable)
	case !isRequest && errors.As(e.cause, new(net.Error)): // a container's or pod's agent
		return fmt.Errorf("awskms: no credentials: the server that hands them out: %s: %w", transportText(e.cause), kms.ErrUnavailable)
	default:
		return fmt.Errorf("awskms: no credentials: %s: %w", findCredentials, kms.ErrAccessDenied)
	}
}
