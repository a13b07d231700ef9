package aws

import (
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/awstest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
)

// The tests of this file hold invariant 10: the key is named, the one that answers is checked, and only allowed keys may open
// what an alias no longer does.

// repointed is a stage whose alias/users has moved on from the key of a ciphertext to another.
func repointed(t *testing.T) (s stage, old string, ciphertext []byte) {
	s = newStage(t)
	old = s.CreateKey(region)
	s.PointAlias("alias/users", old)
	ciphertext = seal(t, key(t, "alias/users", s.options(t)))
	s.PointAlias("alias/users", s.arn)
	s.Requests()
	return s, old, ciphertext
}

func TestEveryRequestNamesTheKey(t *testing.T) {
	s := newStage(t)
	k := s.key(t)
	ciphertext := seal(t, k)
	expectOpens(t, k, ciphertext, row)
	rewrapped(t, k, kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: row}, To: row})
	expectRequests(t, s.Server, "Encrypt "+s.arn, "Decrypt "+s.arn, "ReEncrypt "+s.arn+" from "+s.arn)
}

func TestARepointedAliasOpensNothingOfItsEarlierKey(t *testing.T) {
	s, _, ciphertext := repointed(t)
	plaintext, err := key(t, "alias/users", s.options(t)).Decrypt(t.Context(), ciphertext, row)
	expectError(t, plaintext, err, kms.ErrDecryptionFailed)
	expectRequests(t, s.Server, "Decrypt alias/users")
}

func TestARepointedAliasOpensWithItsEarlierKeyAllowed(t *testing.T) {
	s, old, ciphertext := repointed(t)
	opts := s.options(t)
	opts.AllowedKeys = []string{s.CreateKey(region), old}
	k := key(t, "alias/users", opts)
	expectOpens(t, k, ciphertext, row)
	expectRequests(t, s.Server, "Decrypt alias/users", "Decrypt ")

	expectOpens(t, k, seal(t, k), row)
	expectRequests(t, s.Server, "Encrypt alias/users", "Decrypt alias/users")
}

func TestAKeyThatIsNotAllowedOpensNothing(t *testing.T) {
	s, _, ciphertext := repointed(t)
	opts := s.options(t)
	opts.AllowedKeys = []string{s.CreateKey(region)}
	plaintext, err := key(t, "alias/users", opts).Decrypt(t.Context(), ciphertext, row)
	expectError(t, plaintext, err, kms.ErrDecryptionFailed)
	expectRequests(t, s.Server, "Decrypt alias/users", "Decrypt ")
}

func TestAllowedKeysCostNoRequestWhereTheContextIsWrong(t *testing.T) {
	s := newStage(t)
	opts := s.options(t)
	opts.AllowedKeys = []string{s.CreateKey(region)}
	k := key(t, s.arn, opts)
	ciphertext := seal(t, k)
	plaintext, err := k.Decrypt(t.Context(), ciphertext, nil)
	expectError(t, plaintext, err, kms.ErrDecryptionFailed)
	expectRequests(t, s.Server, "Encrypt "+s.arn, "Decrypt "+s.arn)
}

func TestTheSecondRequestIsOneOfTheBudget(t *testing.T) {
	s, old, ciphertext := repointed(t)
	opts := s.options(t)
	opts.AllowedKeys = []string{old}
	k := key(t, "alias/users", opts)
	plaintext, err := k.Decrypt(kms.WithBudget(t.Context(), 1), ciphertext, row)
	expectError(t, plaintext, err, kms.ErrBudget)
	expectRequests(t, s.Server, "Decrypt alias/users")

	item := kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: row}, To: row}
	r := k.RewrapBatch(kms.WithBudget(t.Context(), 1), []kms.RewrapItem{item})[0]
	expectError(t, r.Data, r.Err, kms.ErrBudget)
	expectRequests(t, s.Server, "ReEncrypt alias/users from alias/users")
}

func TestRewrapTakesWhatAnAllowedKeyWrapped(t *testing.T) {
	s, old, ciphertext := repointed(t)
	item := kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: row}, To: row}

	r := key(t, "alias/users", s.options(t)).RewrapBatch(t.Context(), []kms.RewrapItem{item})[0]
	expectError(t, r.Data, r.Err, kms.ErrDecryptionFailed)
	expectRequests(t, s.Server, "ReEncrypt alias/users from alias/users")

	opts := s.options(t)
	opts.AllowedKeys = []string{s.CreateKey(region)}
	r = key(t, "alias/users", opts).RewrapBatch(t.Context(), []kms.RewrapItem{item})[0]
	expectError(t, r.Data, r.Err, kms.ErrDecryptionFailed)
	expectRequests(t, s.Server, "ReEncrypt alias/users from alias/users", "ReEncrypt alias/users from ")

	opts.AllowedKeys = []string{old}
	k := key(t, "alias/users", opts)
	moved := rewrapped(t, k, item)
	expectRequests(t, s.Server, "ReEncrypt alias/users from alias/users", "ReEncrypt alias/users from ")
	expectOpens(t, s.key(t), moved, row)
}

// The allowed keys are those of the key that the ciphertext comes from.
func TestRewrapToAnotherKeyAllowsWhatItsOwnWould(t *testing.T) {
	s, old, ciphertext := repointed(t)
	opts := s.options(t)
	allowing := &awskms.Options{Client: opts.Client, AllowedKeys: []string{old}}
	target := s.CreateKey(region)

	item := kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: row}, To: row, From: key(t, "alias/users", allowing)}
	moved := rewrapped(t, key(t, target, opts), item)
	expectRequests(t, s.Server, "ReEncrypt "+target+" from alias/users", "ReEncrypt "+target+" from ")
	expectOpens(t, key(t, target, opts), moved, row)

	item.From = key(t, "alias/users", opts)
	r := key(t, target, allowing).RewrapBatch(t.Context(), []kms.RewrapItem{item})[0]
	expectError(t, r.Data, r.Err, kms.ErrDecryptionFailed)
}

// Whoever answers in AWS's place, or a fault there, is noticed by the ARN.
func TestAnAnswerByAnotherKeyIsNeverUsed(t *testing.T) {
	s := newStage(t)
	ciphertext := seal(t, s.key(t))
	multi := s.CreateMultiRegionKey(region, "us-east-1")
	uuid := s.arn[strings.LastIndex(s.arn, "/")+1:]
	foreign := map[string]string{
		"another key":        s.CreateKey(region),
		"another account":    strings.Replace(s.arn, awstest.Account, "999999999999", 1),
		"another Region":     strings.Replace(s.arn, region, "us-east-1", 1),
		"another partition":  strings.Replace(s.arn, "arn:aws:", "arn:aws-cn:", 1),
		"a multi-Region key": multi[0],
		"an alias":           strings.Replace(s.arn, "key/"+uuid, "alias/users", 1),
		"its id alone":       uuid,
		"no ARN":             "foreign",
	}
	for what, arn := range foreign {
		for _, field := range []string{"KeyId", "SourceKeyId"} {
			s.NameAs(field, arn)
			for op, err := range answers(t, s.service(t), ciphertext) {
				if field == "SourceKeyId" && op != "rewrap" {
					continue
				}
				if !errors.Is(err, kms.ErrWrongAnswer) || !strings.Contains(err.Error(), "another key") {
					t.Errorf("%s, answered by %s in %s: %v", op, what, field, err)
				}
			}
			s.NameAs(field, "")
		}
	}
	for op, err := range answers(t, s.service(t), ciphertext) {
		if err != nil {
			t.Errorf("%s, answered by the key: %v", op, err)
		}
	}
}

// answers asks for everything, and fails if anything is returned beside an error.
func answers(t *testing.T, service kms.Service, ciphertext []byte) map[string]error {
	t.Helper()
	results := map[string]kms.Result{
		"encrypt": service.Encrypt(t.Context(), []kms.Item{{Data: dataKey, Context: row}})[0],
		"decrypt": service.Decrypt(t.Context(), []kms.Item{{Data: ciphertext, Context: row}})[0],
		"rewrap": service.(kms.Rewrapper).Rewrap(t.Context(), []kms.RewrapItem{
			{Item: kms.Item{Data: ciphertext, Context: row}, To: row},
		})[0],
	}
	errs := make(map[string]error)
	for op, r := range results {
		errs[op] = r.Err
		if r.Err != nil && r.Data != nil {
			t.Errorf("%s: %d bytes beside %v", op, len(r.Data), r.Err)
		}
	}
	return errs
}

// Without a key named, the answer that is not allowed is a key that does not fit.
func TestAForeignAnswerToTheSecondRequestIsRefused(t *testing.T) {
	s, old, ciphertext := repointed(t)
	opts := s.options(t)
	opts.AllowedKeys = []string{old}
	for _, foreign := range []string{s.CreateKey(region), "foreign", strings.Replace(old, awstest.Account, "999999999999", 1)} {
		s.NameAs("KeyId", foreign)
		plaintext, err := key(t, "alias/users", opts).Decrypt(t.Context(), ciphertext, row)
		expectError(t, plaintext, err, kms.ErrDecryptionFailed)
	}
}

func TestAMultiRegionKeyOpensWhatItsReplicasWrapped(t *testing.T) {
	s := newStage(t)
	arns := s.CreateMultiRegionKey(region, "us-east-1")
	there := key(t, arns[1], &awskms.Options{Client: client(t, s.Server, "us-east-1", s.all)})
	ciphertext := seal(t, there)
	for _, id := range []string{arns[0], arns[0][strings.LastIndex(arns[0], "/")+1:]} {
		here := key(t, id, s.options(t))
		expectOpens(t, here, ciphertext, row)
		moved := rewrapped(t, here, kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: row}, To: row})
		expectOpens(t, here, moved, row)
		expectOpens(t, there, moved, row)
	}
}

// A replica may be told as the one that opened. As the one that wrapped, it would have been in another Region than asked.
func TestAReplicaMayAnswerForItsSet(t *testing.T) {
	s := newStage(t)
	arns := s.CreateMultiRegionKey(region, "us-east-1")
	ciphertext := seal(t, key(t, arns[0], s.options(t)))
	for arn, fine := range map[string]bool{
		arns[1]: true,
		strings.Replace(arns[1], awstest.Account, "999999999999", 1): false,
		s.CreateMultiRegionKey("us-east-1")[0]:                       false,
	} {
		s.NameAs("KeyId", arn)
		errs := answers(t, service(t, arns[0], s.options(t)), ciphertext)
		if (errs["decrypt"] == nil) != fine || errs["encrypt"] == nil || errs["rewrap"] == nil {
			t.Errorf("%s: %v", arn, errs)
		}
	}
}
