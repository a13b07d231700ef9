package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// awsKey is an AWS KMS key: by its id, or by an alias.
type awsKey struct {
	partition, region, account string // "" where the id does not say them
	id                         string // a UUID or mrk-…, "" if it is named by an alias
	alias                      string // alias/NAME
}

const awsName = `([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|mrk-[0-9a-f]{32})|(alias/[a-zA-Z0-9/_-]{1,250})`

var (
	awsBare = regexp.MustCompile(`^(?:` + awsName + `)$`)
	awsARN  = regexp.MustCompile(`^arn:(aws[a-z-]*):kms:([a-z0-9-]+):([0-9]{12}):(?:key/)?(?:` + awsName + `)$`)
)

func parseAWS(id string) (awsKey, bool) {
	if p, ok := parts(awsARN, id); ok {
		return awsKey{partition: p[0], region: p[1], account: p[2], id: p[3], alias: p[4]}, true
	}
	p, ok := parts(awsBare, id)
	if !ok {
		return awsKey{}, false
	}
	return awsKey{id: p[0], alias: p[1]}, true
}

// awsActions: ReEncrypt is authorized twice, for the key that wrapped and for the one that will, and needs no Decrypt.
var awsActions = map[Right][]string{
	Seal:   {"kms:Encrypt"},
	Open:   {"kms:Decrypt"},
	Rotate: {"kms:ReEncryptFrom", "kms:ReEncryptTo"},
}

// iamPolicy is an identity-based policy: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
type iamPolicy struct {
	Version   string
	Statement []iamStatement
}

type iamStatement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

func (k awsKey) document(right Right, opts *Options) (Document, error) {
	if err := k.locate(opts); err != nil {
		return Document{}, err
	}
	equals := map[string]string{}
	if k.alias != "" {
		equals["kms:RequestAlias"] = k.alias
	}
	for name, value := range opts.Context {
		if !iamText(name) || !iamText(value) {
			return Document{}, fmt.Errorf("policy: the context's %q: IAM policies hold only the characters of Latin-1", name)
		}
		equals["kms:EncryptionContext:"+name] = literal(value)
	}
	statement := iamStatement{
		Sid:      "Rowseal" + strings.ToUpper(string(right[:1])) + string(right[1:]),
		Effect:   "Allow",
		Action:   awsActions[right],
		Resource: k.resource(),
	}
	if len(equals) > 0 {
		statement.Condition = map[string]map[string]string{"StringEquals": equals}
	}
	text, err := indented(iamPolicy{Version: "2012-10-17", Statement: []iamStatement{statement}})
	return Document{Text: text, Notes: k.notes(right, opts)}, err
}

var (
	awsAccount = regexp.MustCompile(`^[0-9]{12}$`)
	awsRegion  = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
)

// locate takes from the options what the id does not say.
func (k *awsKey) locate(opts *Options) error {
	switch {
	case k.partition != "" && (opts.Account != "" || opts.Region != ""):
		return errors.New("policy: the key id is an ARN, which says account and region already")
	case opts.Account != "" && !awsAccount.MatchString(opts.Account):
		return fmt.Errorf("policy: account %q: must be 12 digits", opts.Account)
	case opts.Region != "" && !awsRegion.MatchString(opts.Region):
		return fmt.Errorf("policy: region %q: must be a region's name, as eu-central-1", opts.Region)
	case k.partition != "":
		return nil
	case k.alias != "" && opts.Account == "":
		return fmt.Errorf("policy: anybody can make %s in an account of his own, and let others use his key by it, so that a policy "+
			"for any account would give the right to his key too: say which account with --account, or give the alias's ARN", k.alias)
	}
	k.account, k.region = cmp.Or(opts.Account, "*"), cmp.Or(opts.Region, "*")
	k.partition = partitionOf(k.region)
	return nil
}

func partitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// resource is always of keys: the ARN of an alias gives rights to the alias, not to the key that it names.
func (k awsKey) resource() string {
	return fmt.Sprintf("arn:%s:kms:%s:%s:key/%s", k.partition, k.region, k.account, cmp.Or(k.id, "*"))
}

func (k awsKey) notes(right Right, opts *Options) []string {
	notes := []string{fmt.Sprintf("give it to a role: aws iam put-role-policy --role-name ROLE --policy-name %s "+
		"--policy-document file://FILE; it counts if the key's own policy lets the account use IAM, as the default does", k.policyName(right))}
	if unsaid := k.unsaid(); len(unsaid) > 0 {
		notes = append(notes, fmt.Sprintf("the key id does not say the %s, so that the policy takes any: narrow it with --%s",
			strings.Join(unsaid, " and the "), strings.Join(unsaid, " and --")))
	}
	if k.alias != "" {
		notes = append(notes, fmt.Sprintf("it holds for whatever key %s names, and only for requests by that alias: whoever may "+
			"change the alias decides which key that is, and a key that the alias named before needs a policy of its own, by its ARN", k.alias))
	}
	if right == Rotate && len(opts.Context) > 0 {
		notes = append(notes, "rewrapping is authorized for the old context and for the new one: both must have what --context says")
	}
	if right == Rotate {
		notes = append(notes, "from one key to another, the job needs this for both: print it for each",
			"it also lets the job change the context, and so the row that a data key belongs to: docs/permissions.md, \"The rotation job\"")
	}
	return notes
}

func (k awsKey) unsaid() []string {
	var names []string
	if k.account == "*" {
		names = append(names, "account")
	}
	if k.region == "*" {
		names = append(names, "region")
	}
	return names
}

// policyName: with a name that another key's policy has too, put-role-policy would replace that one.
func (k awsKey) policyName(right Right) string {
	key := cmp.Or(k.id, strings.ReplaceAll(strings.TrimPrefix(k.alias, "alias/"), "/", "-"))
	return fmt.Sprintf("rowseal-%s-%.64s-%s", right, key, tag(k.resource()+" "+k.alias)) // IAM takes 128 characters
}

// iamText tells whether IAM takes the text in a policy: https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html
func iamText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r > 'ÿ'
	})
}

// literal keeps IAM from reading a policy variable in a context value. ${$} is a dollar sign.
func literal(value string) string { return strings.ReplaceAll(value, "${", "${$}{") }

func indented(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.String(), err
}
