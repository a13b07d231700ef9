package awskms

import (
	"bytes"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/rowseal/rowseal/kms"
)

// What a foreign key opened is not left in memory either.
func TestARefusedPlaintextIsWiped(t *testing.T) {
	plaintext := []byte("32 bytes, one such key for a row")
	id, err := parseID(arn)
	if err != nil {
		t.Fatal(err)
	}
	foreign := &sdk.DecryptOutput{KeyId: aws.String("arn:aws:kms:eu-west-1:999999999999:key/" + uuid), Plaintext: plaintext}
	if got, err := opened(foreign, id.isRelated, errAnotherKey); got != nil || !errors.Is(err, kms.ErrUnavailable) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if !bytes.Equal(plaintext, make([]byte, len(plaintext))) {
		t.Error("the plaintext is still there")
	}
}
