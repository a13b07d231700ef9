package awskms

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

// keyID is an id in one of its forms; what the form does not say is "".
// https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id
type keyID struct {
	text      string
	partition string
	region    string
	account   string
	resource  string // "key/…" or "alias/…"
}

const (
	uuidForm  = `[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}`
	mrkForm   = `mrk-[0-9a-f]{32}`
	aliasForm = `alias/[a-zA-Z0-9/_-]{1,250}`
)

var (
	// As in kms.Open: what is surely meant for AWS, whether it is right or not.
	likeID = regexp.MustCompile(`^(?:arn:aws[a-z-]*:kms:|alias/|` + mrkForm + `$|` + uuidForm + `$)`)

	arnForm = regexp.MustCompile(`^arn:(aws[a-z-]*):kms:([a-z0-9-]+):([0-9]{12}):` +
		`(key/(?:` + mrkForm + `|` + uuidForm + `)|` + aliasForm + `)$`)
	plainForm = regexp.MustCompile(`^(?:` + mrkForm + `|` + uuidForm + `)$`)
	nameForm  = regexp.MustCompile(`^` + aliasForm + `$`)
)

func looksLikeID(id string) bool { return likeID.MatchString(id) }

func parseID(id string) (keyID, error) {
	if k, ok := parseARN(id); ok {
		return k, nil
	}
	switch {
	case plainForm.MatchString(id):
		return keyID{text: id, resource: "key/" + id}, nil
	case nameForm.MatchString(id):
		return keyID{text: id, resource: id}, nil
	}
	return keyID{}, fmt.Errorf("awskms: %q is none of arn:aws:kms:REGION:ACCOUNT:key/ID, the same with alias/NAME, a key id, "+
		"mrk-… and alias/NAME: %w", shortened(id), kms.ErrInvalidRequest)
}

func parseARN(arn string) (keyID, bool) {
	m := arnForm.FindStringSubmatch(arn)
	if m == nil {
		return keyID{}, false
	}
	return keyID{text: arn, partition: m[1], region: m[2], account: m[3], resource: m[4]}, true
}

// shortened keeps most of what is no id out of messages: it may be a secret, pasted into the wrong place.
func shortened(id string) string {
	const shown = 8
	if len(id) > shown && !looksLikeID(id) {
		return id[:shown] + "…"
	}
	return id
}

func (k keyID) isAlias() bool { return strings.HasPrefix(k.resource, "alias/") }

func (k keyID) isMultiRegion() bool { return strings.HasPrefix(k.resource, "key/mrk-") }

// isKey tells whether the key with this ARN is the one that the id names, as far as the id says: not which key an alias
// points at.
func (k keyID) isKey(arn string) bool {
	answered, ok := parseARN(arn)
	return ok && !answered.isAlias() && k.agrees(answered) && (k.region == "" || k.region == answered.region)
}

// isRelated is isKey, or a key of the same multi-Region set: each of a set opens what the others wrapped.
func (k keyID) isRelated(arn string) bool {
	answered, ok := parseARN(arn)
	return k.isKey(arn) || ok && answered.isMultiRegion() && k.agrees(answered)
}

// agrees compares all but the region.
func (k keyID) agrees(answered keyID) bool {
	return (k.partition == "" || k.partition == answered.partition) &&
		(k.account == "" || k.account == answered.account) &&
		(k.isAlias() || k.resource == answered.resource)
}
