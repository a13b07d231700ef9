package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// pattern is an event pattern of EventBridge, or a part of one: a list holds what a field may be.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
type pattern map[string]any

// maxPattern is EventBridge's limit, in characters.
const maxPattern = 2048

var (
	absent = []any{pattern{"exists": false}}

	// keyChanges are what changes who may use a key, or whether anybody can.
	keyChanges = []string{"CancelKeyDeletion", "CreateGrant", "DeleteImportedKeyMaterial", "DisableKey", "DisableKeyRotation", "EnableKey",
		"PutKeyPolicy", "ReplicateKey", "ScheduleKeyDeletion", "UpdateAlias"}
	// trailChanges can end the log, and with it all of this.
	trailChanges = []string{"DeleteTrail", "PutEventSelectors", "StopLogging", "UpdateTrail"}
)

// patterns fills in what the rules match.
func (v *alertsView) patterns() error {
	v.Opens = event(v.opens(), "aws.kms")
	v.Refused = event(v.refused(), "aws.kms")
	v.Changes = event(v.changes(), "aws.kms", "aws.cloudtrail")
	if len(v.Roles) > 0 {
		v.Strangers = event(v.strangers(), "aws.kms")
	}
	for _, p := range []pattern{v.Opens, v.Refused, v.Changes, v.Strangers} {
		text, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if len(text) > maxPattern {
			return fmt.Errorf("policy: %d roles are more than an event pattern of AWS can hold (%d characters): name fewer, and let "+
				"'rowseal audit check' watch the others", len(v.Roles), maxPattern)
		}
	}
	return nil
}

func event(detail pattern, sources ...string) pattern {
	return pattern{"source": sources, "detail-type": []string{"AWS API Call via CloudTrail"}, "detail": detail}
}

// opens are successful requests that can end in a data key: Decrypt, and ReEncrypt to any other key. A rewrap under the
// same key shows nothing to anybody, and a rotation job makes many. With no key named, one cannot be told from the other.
func (v *alertsView) opens() pattern {
	detail := pattern{"eventSource": []string{"kms.amazonaws.com"}, "errorCode": absent}
	if v.Key == "" {
		detail["eventName"] = []string{"Decrypt", "ReEncrypt"}
		return detail
	}
	detail["resources"] = pattern{"ARN": []string{v.Key}}
	detail["$or"] = []pattern{
		{"eventName": []string{"Decrypt"}},
		{"eventName": []string{"ReEncrypt"}, "requestParameters": pattern{
			"destinationKeyId": []any{pattern{"anything-but": []string{v.Key, v.ID}}}}},
	}
	return detail
}

// strangers are opens by anybody but the application's roles. IAM users and root have no session issuer.
func (v *alertsView) strangers() pattern {
	detail := v.opens()
	detail["userIdentity"] = pattern{"sessionContext": pattern{"sessionIssuer": pattern{
		"arn": []any{pattern{"anything-but": v.Roles}, absent[0]}}}}
	return detail
}

// refused leaves out dry runs, by which 'rowseal keys check' asks for a right: what succeeds ends in that error.
func (v *alertsView) refused() pattern {
	detail := pattern{
		"eventSource": []string{"kms.amazonaws.com"},
		"eventName":   []string{"Decrypt", "ReEncrypt"},
		"errorCode":   []any{pattern{"anything-but": []string{"DryRunOperationException"}}},
	}
	if v.Key != "" {
		detail["$or"] = v.named()
	}
	return detail
}

func (v *alertsView) changes() pattern {
	trail := pattern{"eventSource": []string{"cloudtrail.amazonaws.com"}, "eventName": trailChanges}
	key := pattern{"eventSource": []string{"kms.amazonaws.com"}, "eventName": keyChanges}
	alternatives := []pattern{trail}
	if v.Key == "" {
		return pattern{"$or": append(alternatives, key)}
	}
	for _, name := range v.named() {
		for field, is := range key {
			name[field] = is
		}
		alternatives = append(alternatives, name)
	}
	return pattern{"$or": alternatives}
}

// named are the ways in which an event names the key. One that was refused need not have resources, nor parameters: then
// the message has the ARN.
func (v *alertsView) named() []pattern {
	return []pattern{
		{"resources": pattern{"ARN": []string{v.Key}}},
		{"requestParameters": pattern{"keyId": []string{v.Key, v.ID}}},
		{"errorMessage": []any{pattern{"wildcard": "*" + v.Key + "*"}}},
	}
}

// layOut writes a value as JSON, lists and objects that fit in one line. HCL takes that too, and terraform fmt wants another
// colon. Every line but the first begins with the indent.
func layOut(value any, indent, colon string) (string, error) {
	switch v := value.(type) {
	case pattern:
		var members []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			text, err := layOut(v[name], indent+"  ", colon)
			if err != nil {
				return "", err
			}
			members = append(members, fmt.Sprintf("%q%s%s", name, colon, text))
		}
		return enclose("{ ", members, " }", indent), nil
	case []any:
		return layOutList(v, indent, colon)
	case []pattern:
		return layOutList(v, indent, colon)
	case []string:
		return layOutList(v, indent, colon)
	}
	text, err := json.Marshal(value)
	return string(text), err
}

func layOutList[T any](values []T, indent, colon string) (string, error) {
	var items []string
	for _, v := range values {
		text, err := layOut(v, indent+"  ", colon)
		if err != nil {
			return "", err
		}
		items = append(items, text)
	}
	return enclose("[", items, "]", indent), nil
}

func enclose(before string, items []string, after, indent string) string {
	const width = 100
	line := before + strings.Join(items, ", ") + after
	if len(indent)+len(line) <= width {
		return line
	}
	inner := "\n" + indent + "  "
	return strings.TrimSpace(before) + inner + strings.Join(items, ","+inner) + "\n" + indent + strings.TrimSpace(after)
}
