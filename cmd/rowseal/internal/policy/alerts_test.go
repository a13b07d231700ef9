package policy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/policy"
)

const (
	keyARN   = "arn:aws:kms:eu-central-1:111122223333:key/" + awsKeyID
	otherARN = "arn:aws:kms:eu-central-1:111122223333:key/9999abcd-12ab-34cd-56ef-1234567890ab"
	webRole  = "arn:aws:iam::111122223333:role/app/web"
	jobRole  = "arn:aws:iam::111122223333:role/jobs"
)

var alerts = map[string]policy.Alerts{
	"alerts_key": {KeyID: keyARN, Roles: []string{webRole, jobRole}, Email: "ada@example.org", Threshold: 600, Trail: "my-trail/logs"},
	"alerts_all": {Account: "111122223333", Region: "cn-north-1", Trail: "my-trail", Organization: "o-exampleorgid"},
}

// TestAlerts compares whole documents and their notes with testdata.
func TestAlerts(t *testing.T) {
	names := map[policy.Format]string{
		policy.Terraform: "alerts.tf", policy.CloudFormation: "cloudformation.yaml", policy.Athena: "athena.sql",
	}
	for file, a := range alerts {
		t.Run(file, func(t *testing.T) {
			var got txtar.Archive
			for _, format := range policy.Formats {
				doc := document(t, a, format)
				notes := strings.Join(doc.Notes, "\n") + "\n"
				got.Files = append(got.Files, txtar.File{Name: names[format], Data: []byte(doc.Text)},
					txtar.File{Name: string(format) + ".notes", Data: []byte(notes)})
			}
			golden(t, filepath.Join("testdata", file+".txtar"), string(txtar.Format(&got)))
		})
	}
}

func document(t *testing.T, a policy.Alerts, format policy.Format) policy.Document {
	t.Helper()
	doc, err := a.For(format)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// stack is a CloudFormation template.
type stack struct {
	Parameters map[string]any
	Rules      map[string]any
	Resources  map[string]resource
	Outputs    map[string]any
}

type resource struct {
	Type       string
	Properties json.RawMessage
}

func readStack(t *testing.T, a policy.Alerts) stack {
	t.Helper()
	return parseStack(t, document(t, a, policy.CloudFormation).Text)
}

// parseStack goes by JSON. A !Ref becomes the name that it refers to.
func parseStack(t *testing.T, text string) stack {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var s stack
	if encoded, err := json.Marshal(tree); err != nil {
		t.Fatal(err)
	} else if err := json.Unmarshal(encoded, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (r resource) properties(t *testing.T, to any) {
	t.Helper()
	if err := json.Unmarshal(r.Properties, to); err != nil {
		t.Fatal(err)
	}
}

func (s stack) ofType(name string) map[string]resource {
	return maps.Collect(func(yield func(string, resource) bool) {
		for id, r := range s.Resources {
			if r.Type == name && !yield(id, r) {
				return
			}
		}
	})
}

// TestStackReferencesResolve: what CloudFormation would refuse only when the stack is made.
func TestStackReferencesResolve(t *testing.T) {
	for file, a := range alerts {
		t.Run(file, func(t *testing.T) {
			s := readStack(t, a)
			var root yaml.Node
			if err := yaml.Unmarshal([]byte(document(t, a, policy.CloudFormation).Text), &root); err != nil {
				t.Fatal(err)
			}
			refs := 0
			eachNode(&root, func(n *yaml.Node) {
				if n.Tag != "!Ref" {
					return
				}
				refs++
				_, isParameter := s.Parameters[n.Value]
				_, isResource := s.Resources[n.Value]
				if !isParameter && !isResource && n.Value != "AWS::AccountId" && n.Value != "AWS::Region" {
					t.Errorf("line %d: !Ref %s is nothing", n.Line, n.Value)
				}
			})
			if refs < 10 || len(s.Outputs) != 2 {
				t.Errorf("%d references, %d outputs", refs, len(s.Outputs))
			}
		})
	}
}

func eachNode(n *yaml.Node, visit func(*yaml.Node)) {
	visit(n)
	for _, child := range n.Content {
		eachNode(child, visit)
	}
}

type rule struct {
	Description, State string
	EventPattern       map[string]any
	Targets            []struct{ ID, Arn string }
}

func rules(t *testing.T, s stack) map[string]rule {
	t.Helper()
	found := map[string]rule{}
	for id, r := range s.ofType("AWS::Events::Rule") {
		var is rule
		r.properties(t, &is)
		found[id] = is
	}
	return found
}

// TestEveryRuleAlerts: through an alarm that counts it, or, for what is rare, by itself. And whoever publishes to a topic may.
func TestEveryRuleAlerts(t *testing.T) {
	const all = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" // Decrypt is read-only
	for file, a := range alerts {
		t.Run(file, func(t *testing.T) {
			s := readStack(t, a)
			counted := map[string]bool{}
			for id, r := range s.ofType("AWS::CloudWatch::Alarm") {
				var alarm struct {
					Namespace, MetricName, Statistic, TreatMissingData string
					Threshold                                          any
					Period                                             int
					Dimensions                                         []struct{ Name, Value string }
					AlarmActions                                       []string
				}
				r.properties(t, &alarm)
				if alarm.Namespace != "AWS/Events" || alarm.MetricName != "Invocations" || alarm.Statistic != "Sum" || alarm.Period != 60 ||
					alarm.TreatMissingData != "notBreaching" || len(alarm.Dimensions) != 1 || alarm.Dimensions[0].Name != "RuleName" ||
					!slices.Equal(alarm.AlarmActions, []string{"AlertsTopic"}) {
					t.Errorf("%s: %+v", id, alarm)
				}
				of := alarm.Dimensions[0].Value
				if want := map[bool]string{true: "Threshold", false: "1"}[of == "OpensRule"]; fmt.Sprint(alarm.Threshold) != want {
					t.Errorf("%s is raised at %v, not %s", id, alarm.Threshold, want)
				}
				counted[of] = true
			}
			names := []string{"ChangesRule", "OpensRule", "RefusedRule"}
			if len(a.Roles) > 0 {
				names = append(names, "StrangersRule")
			}
			found := rules(t, s)
			if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, names) {
				t.Errorf("rules %q, not %q", got, names)
			}
			for id, r := range found {
				state, target := all, "EventsTopic"
				if id == "ChangesRule" {
					state, target = "ENABLED", "AlertsTopic"
				}
				if r.State != state || len(r.Targets) != 1 || r.Targets[0].Arn != target || counted[id] != (target == "EventsTopic") {
					t.Errorf("%s: %+v, counted: %t", id, r, counted[id])
				}
			}
			publishers := map[string]string{"AlertsTopic": "cloudwatch.amazonaws.com events.amazonaws.com", "EventsTopic": "events.amazonaws.com"}
			for topic := range s.ofType("AWS::SNS::Topic") {
				if got := publishersOf(t, s, topic); got != publishers[topic] {
					t.Errorf("%s takes from %q, not %q", topic, got, publishers[topic])
				}
			}
			if len(s.ofType("AWS::SNS::Topic")) != len(publishers) {
				t.Error("more topics, or fewer, than this test knows")
			}
			if got := len(s.ofType("AWS::SNS::Subscription")); (got == 1) != (a.Email != "") {
				t.Errorf("%d subscriptions for %q", got, a.Email)
			}
		})
	}
}

// publishersOf: EventBridge fulfils no condition in a topic's policy, so that one would keep it out.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions
func publishersOf(t *testing.T, s stack, topic string) string {
	t.Helper()
	var services []string
	for id, r := range s.ofType("AWS::SNS::TopicPolicy") {
		var is struct {
			Topics         []string
			PolicyDocument struct {
				Statement []struct {
					Effect, Action, Resource string
					Principal                struct{ Service string }
					Condition                any
				}
			}
		}
		r.properties(t, &is)
		if !slices.Equal(is.Topics, []string{topic}) {
			continue
		}
		for _, statement := range is.PolicyDocument.Statement {
			service := statement.Principal.Service
			if statement.Effect != "Allow" || statement.Action != "sns:Publish" || statement.Resource != topic ||
				(statement.Condition != nil) != (service == "cloudwatch.amazonaws.com") {
				t.Errorf("%s: %+v", id, statement)
			}
			services = append(services, service)
		}
	}
	slices.Sort(services)
	return strings.Join(services, " ")
}

// event is what EventBridge gets of a request to KMS.
type event struct {
	source, name string // source: kms if ""
	role         string // "": an IAM user
	keys         []string
	keyID        string // what the request named
	destination  string
	code         string
	message      string
}

func (e event) document() map[string]any {
	who := map[string]any{"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/Alice"}
	if e.role != "" {
		who["sessionContext"] = map[string]any{"sessionIssuer": map[string]any{"arn": e.role}}
	}
	source := "kms"
	if e.source != "" {
		source = e.source
	}
	detail := map[string]any{"eventSource": source + ".amazonaws.com", "eventName": e.name, "userIdentity": who}
	parameters := map[string]any{}
	for name, value := range map[string]string{"keyId": e.keyID, "destinationKeyId": e.destination} {
		if value != "" {
			parameters[name] = value
		}
	}
	detail["requestParameters"] = parameters
	var resources []any
	for _, key := range e.keys {
		resources = append(resources, map[string]any{"type": "AWS::KMS::Key", "ARN": key})
	}
	detail["resources"] = resources
	if e.code != "" {
		detail["errorCode"], detail["errorMessage"] = e.code, e.message
	}
	return map[string]any{"source": "aws." + source, "detail-type": "AWS API Call via CloudTrail", "detail": detail}
}

// TestRulesMatchWhatTheySay. The verdicts are also those of AWS's own matcher, github.com/aws/event-ruler.
func TestRulesMatchWhatTheySay(t *testing.T) {
	const denied = "User: x is not authorized to perform: kms:Decrypt on resource: "
	key, other := []string{keyARN}, []string{otherARN}
	cases := map[string]struct {
		event
		ofKey, ofAll string // which rules match: with the key and roles named, and without
	}{
		"an open by the application":          {event{name: "Decrypt", role: webRole, keys: key}, "Opens", "Opens"},
		"an open by another role":             {event{name: "Decrypt", role: webRole + "2", keys: key}, "Opens Strangers", "Opens"},
		"an open by a user":                   {event{name: "Decrypt", keys: key}, "Opens Strangers", "Opens"},
		"an open with another key":            {event{name: "Decrypt", keys: other}, "", "Opens"},
		"a seal":                              {event{name: "Encrypt", role: webRole, keys: key}, "", ""},
		"a rewrap":                            {event{name: "ReEncrypt", keys: []string{keyARN, keyARN}, destination: keyARN}, "", "Opens"},
		"a rewrap, by the key's id":           {event{name: "ReEncrypt", keys: []string{keyARN, keyARN}, destination: awsKeyID}, "", "Opens"},
		"a rewrap to another key":             {event{name: "ReEncrypt", role: jobRole, keys: []string{keyARN, otherARN}, destination: otherARN}, "Opens", "Opens"},
		"a rewrap to another key, by a user":  {event{name: "ReEncrypt", keys: []string{keyARN, otherARN}, destination: otherARN}, "Opens Strangers", "Opens"},
		"a refusal that has resources":        {event{name: "Decrypt", keys: key, code: "AccessDenied"}, "Refused", "Refused"},
		"a refusal that has only a message":   {event{name: "Decrypt", code: "AccessDenied", message: denied + keyARN + " because no policy"}, "Refused", "Refused"},
		"a refusal of another key":            {event{name: "Decrypt", code: "AccessDenied", message: denied + otherARN}, "", "Refused"},
		"a row that was moved":                {event{name: "Decrypt", role: webRole, keyID: keyARN, code: "InvalidCiphertextException"}, "Refused", "Refused"},
		"a dry run":                           {event{name: "Decrypt", keys: key, code: "DryRunOperationException"}, "", ""},
		"a new key policy":                    {event{name: "PutKeyPolicy", role: webRole, keys: key}, "Changes", "Changes"},
		"a refused end of the key":            {event{name: "ScheduleKeyDeletion", code: "AccessDenied", message: denied + keyARN}, "Changes", "Changes"},
		"another key that is disabled":        {event{name: "DisableKey", keys: other}, "", "Changes"},
		"a question about the key":            {event{name: "DescribeKey", keys: key}, "", ""},
		"a trail that is stopped":             {event{source: "cloudtrail", name: "StopLogging"}, "Changes", "Changes"},
		"a question about the log":            {event{source: "cloudtrail", name: "LookupEvents"}, "", ""},
		"another service's event of the name": {event{source: "payment-cryptography", name: "Decrypt", keys: key}, "", ""},
	}
	ofKey, ofAll := rules(t, readStack(t, alerts["alerts_key"])), rules(t, readStack(t, alerts["alerts_all"]))
	for name, tc := range cases {
		for _, by := range []struct {
			rules map[string]rule
			want  string
		}{{ofKey, tc.ofKey}, {ofAll, tc.ofAll}} {
			var got []string
			for _, id := range slices.Sorted(maps.Keys(by.rules)) {
				if matches(t, by.rules[id].EventPattern, tc.document()) {
					got = append(got, strings.TrimSuffix(id, "Rule"))
				}
			}
			if got := strings.Join(got, " "); got != by.want {
				t.Errorf("%s: matched by %q, not %q (of %d rules)", name, got, by.want, len(by.rules))
			}
		}
	}
}

// matches reads as much of an event pattern as the rules use. Each field must match, and of $or, one alternative.
func matches(t *testing.T, pattern, document map[string]any) bool {
	t.Helper()
	for field, want := range pattern {
		switch want := want.(type) {
		case map[string]any:
			if !matchesWithin(t, want, document[field]) {
				return false
			}
		case []any:
			if field == "$or" {
				if !slices.ContainsFunc(want, func(p any) bool { return matches(t, p.(map[string]any), document) }) {
					return false
				}
			} else if !slices.ContainsFunc(want, func(p any) bool { return matchesValue(t, p, document[field]) }) {
				return false
			}
		default:
			t.Fatalf("%s: %v is no list", field, want)
		}
	}
	return true
}

// matchesWithin: of a list, one element must match. What is not there matches what must not be there.
func matchesWithin(t *testing.T, pattern map[string]any, value any) bool {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		return matches(t, pattern, v)
	case []any:
		return slices.ContainsFunc(v, func(element any) bool { return matchesWithin(t, pattern, element) })
	case nil:
		return matches(t, pattern, nil)
	}
	return false
}

func matchesValue(t *testing.T, want, value any) bool {
	t.Helper()
	test, ok := want.(map[string]any)
	if !ok {
		return want == value
	}
	for operator, of := range test {
		switch operator {
		case "exists":
			return of == (value != nil)
		case "anything-but":
			return value != nil && !slices.Contains(of.([]any), value)
		case "wildcard":
			text, ok := value.(string)
			return ok && strings.Contains(text, strings.Trim(of.(string), "*"))
		}
	}
	t.Fatalf("%v: this test does not know it", test)
	return false
}

// TestEventPatternsFit: EventBridge takes 2,048 characters.
func TestEventPatternsFit(t *testing.T) {
	a := alerts["alerts_key"]
	for fits := true; fits; {
		a.Roles = append(a.Roles, fmt.Sprintf("arn:aws:iam::111122223333:role/application-%d", len(a.Roles)))
		doc, err := a.For(policy.CloudFormation)
		if err != nil {
			if !strings.Contains(err.Error(), "roles are more than") {
				t.Fatal(err)
			}
			fits = false
			continue
		}
		for id, r := range rules(t, parseStack(t, doc.Text)) {
			if text, err := json.Marshal(r.EventPattern); err != nil || len(text) > 2048 {
				t.Fatalf("%s has %d characters with %d roles (%v)", id, len(text), len(a.Roles), err)
			}
		}
	}
	if len(a.Roles) < 20 {
		t.Errorf("only %d roles fit", len(a.Roles)-1)
	}
}

// TestStacksAreOfTheirRegion: elsewhere, they would be made and see nothing.
func TestStacksAreOfTheirRegion(t *testing.T) {
	a := alerts["alerts_key"]
	if text := document(t, a, policy.CloudFormation).Text; !strings.Contains(text, `!Equals [!Ref "AWS::Region", "eu-central-1"]`) {
		t.Error(text)
	}
	if text := document(t, a, policy.Terraform).Text; !strings.Contains(text, `data.aws_region.current.id == "eu-central-1"`) {
		t.Error(text)
	}
}

// TestQueriesNameTheirDays: without, Athena reads the whole trail, and bills it.
func TestQueriesNameTheirDays(t *testing.T) {
	for file, a := range alerts {
		t.Run(file, func(t *testing.T) {
			var code strings.Builder
			for line := range strings.Lines(document(t, a, policy.Athena).Text) {
				if !strings.HasPrefix(line, "--") {
					code.WriteString(line)
				}
			}
			statements := strings.Split(strings.TrimSpace(code.String()), ";\n")
			if !strings.HasSuffix(code.String(), ";\n") || len(statements) != 12 {
				t.Fatalf("%d statements", len(statements))
			}
			for i, statement := range statements {
				statement = strings.TrimSpace(statement)
				verb := []string{"CREATE EXTERNAL TABLE ", "CREATE OR REPLACE VIEW ", "SELECT"}[min(i, 2)]
				if !strings.HasPrefix(statement, verb) || strings.Count(statement, "'")%2 != 0 || strings.Count(statement, "(") != strings.Count(statement, ")") {
					t.Errorf("%s", statement)
				}
				if i > 1 && !regexp.MustCompile(`(?m)^WHERE day (>=|=) date_format\(current_timestamp`).MatchString(statement) {
					t.Errorf("no days: %s", statement)
				}
			}
		})
	}
}

func TestTrailsLieWhereCloudTrailWrites(t *testing.T) {
	for want, a := range map[string]policy.Alerts{
		"s3://my-trail/AWSLogs/111122223333/CloudTrail/eu-central-1":                {KeyID: keyARN, Trail: "my-trail"},
		"s3://my-trail/a/b/AWSLogs/111122223333/CloudTrail/eu-central-1":            {KeyID: keyARN, Trail: "my-trail/a/b"},
		"s3://my-trail/AWSLogs/o-exampleorgid/111122223333/CloudTrail/eu-central-1": {KeyID: keyARN, Trail: "my-trail", Organization: "o-exampleorgid"},
		"s3://my-trail/AWSLogs/444455556666/CloudTrail/us-gov-west-1":               {Account: "444455556666", Region: "us-gov-west-1", Trail: "my-trail"},
	} {
		text := document(t, a, policy.Athena).Text
		if !strings.Contains(text, "LOCATION '"+want+"'\n") || !strings.Contains(text, "'storage.location.template' = '"+want+"/${day}'\n") {
			t.Errorf("not at %s: %s", want, text)
		}
	}
}

func TestAlertsThatDoNotFitAreRefused(t *testing.T) {
	for _, tc := range []struct {
		format policy.Format
		alerts policy.Alerts
		want   string
	}{
		{policy.Terraform, policy.Alerts{KeyID: "alias/users"}, "its ARN"},
		{policy.Terraform, policy.Alerts{KeyID: awsKeyID}, "its ARN"},
		{policy.Terraform, policy.Alerts{KeyID: "arn:aws:kms:eu-central-1:111122223333:alias/users"}, "its ARN"},
		{policy.Terraform, policy.Alerts{KeyID: "vault/users"}, "its ARN"},
		{policy.Terraform, policy.Alerts{KeyID: keyARN + `"`}, "its ARN"},
		{policy.Athena, policy.Alerts{KeyID: keyARN, Account: "111122223333", Trail: "my-trail"}, "says account and region already"},
		{policy.Terraform, policy.Alerts{Roles: []string{"arn:aws:sts::111122223333:assumed-role/web/i-1"}}, "must be the ARN of a role"},
		{policy.Terraform, policy.Alerts{Roles: []string{webRole + `"`}}, "must be the ARN of a role"},
		{policy.Terraform, policy.Alerts{Roles: []string{webRole + "*"}}, "must be the ARN of a role"},
		{policy.Athena, policy.Alerts{KeyID: keyARN, Trail: "my-trail", Roles: []string{webRole + "'"}}, "must be the ARN of a role"},
		{policy.Terraform, policy.Alerts{Threshold: -1}, "1 or more"},
		{policy.Terraform, policy.Alerts{Email: "ada"}, "NAME@DOMAIN"},
		{policy.Terraform, policy.Alerts{Email: `ada@example.org"`}, "NAME@DOMAIN"},
		{policy.Terraform, policy.Alerts{Email: "${ada}@example.org"}, "NAME@DOMAIN"},
		{policy.Athena, policy.Alerts{Trail: "my-trail"}, "--account and --region"},
		{policy.Athena, policy.Alerts{Trail: "my-trail", Account: "1", Region: "eu-central-1"}, "12 digits"},
		{policy.Athena, policy.Alerts{Trail: "my-trail", Account: "111122223333", Region: "*"}, "region's name"},
		{policy.Athena, policy.Alerts{KeyID: keyARN}, "name of the bucket"},
		{policy.Athena, policy.Alerts{KeyID: keyARN, Trail: "s3://my-trail"}, "name of the bucket"},
		{policy.Athena, policy.Alerts{KeyID: keyARN, Trail: "my-trail/'; DROP TABLE x; --"}, "name of the bucket"},
		{policy.Athena, policy.Alerts{KeyID: keyARN, Trail: "my-trail/o'brien"}, "name of the bucket"},
		{policy.Athena, policy.Alerts{KeyID: keyARN, Trail: "my-trail/../other"}, "name of the bucket"},
		{policy.Athena, policy.Alerts{KeyID: keyARN, Trail: "my-trail", Organization: "111122223333"}, "o-exampleorgid"},
	} {
		if doc, err := tc.alerts.For(tc.format); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s of %+v: %v, not %q: %s", tc.format, tc.alerts, err, tc.want, doc.Text)
		}
	}
}

// FuzzAlerts: what is accepted means nothing where it is written.
func FuzzAlerts(f *testing.F) {
	if seeds, err := filepath.Glob("testdata/fuzz/FuzzAlerts/*"); err != nil || len(seeds) < 6 {
		f.Fatalf("the committed seeds are missing: %d (%v)", len(seeds), err)
	}
	inert := regexp.MustCompile(`^[a-zA-Z0-9/_.:@+=,-]*$`) // in JSON, YAML, HCL and SQL, between quotes
	f.Fuzz(func(t *testing.T, key, role, email, trail, organization, region string) {
		a := policy.Alerts{KeyID: key, Email: email, Trail: trail, Organization: organization, Region: region}
		if role != "" {
			a.Roles = []string{role}
		}
		if region != "" {
			a.Account = "111122223333"
		}
		for _, format := range policy.Formats {
			doc, err := a.For(format)
			if err != nil {
				continue
			}
			values := []string{key, role, region}
			if format == policy.Athena {
				values = append(values, trail, organization)
			} else {
				values = append(values, email)
			}
			for _, value := range values {
				if !inert.MatchString(value) {
					t.Errorf("%s accepts %q", format, value)
				}
			}
			if format != policy.CloudFormation {
				continue
			}
			parseStack(t, doc.Text)
		}
	})
}
