package policy

import (
	"embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

// Format is the language in which alerts are written.
type Format string

// The formats: two that make the same alerts, and the table and queries that answer them.
const (
	Terraform      Format = "terraform"
	CloudFormation Format = "cloudformation"
	Athena         Format = "athena"
)

// Formats are all of them.
var Formats = []Format{Terraform, CloudFormation, Athena}

// DefaultThreshold is a page or two of rows. What is normal, the query "opens of each principal by the hour" tells.
const DefaultThreshold = 100

// Alerts says what to be told of. Its zero value is every key of an account and Region.
type Alerts struct {
	KeyID string   // the ARN of a key; "": every key
	Roles []string // the application's roles, by ARN: nobody else should open

	Threshold int    // so many opens in a minute raise the alarm; 0: DefaultThreshold. Not with Athena
	Email     string // who gets the mails; "": nobody yet. Not with Athena

	Trail           string // where CloudTrail writes: BUCKET or BUCKET/PREFIX. With Athena only, as the rest
	Organization    string // whose trail it is; "": the account's own
	Account, Region string // where KeyID does not say them
}

// For returns the alerts, or the table and the queries, of AWS.
func (a Alerts) For(format Format) (Document, error) {
	view, err := a.view(format)
	if err != nil {
		return Document{}, err
	}
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, string(format)+".tmpl", view); err != nil {
		return Document{}, err
	}
	return Document{Text: b.String(), Notes: view.notes(format)}, nil
}

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"yaml": func(p pattern) (string, error) { return layOut(p, strings.Repeat(" ", 8), ": ") }, // which has JSON in it
	"hcl":  func(p pattern) (string, error) { return layOut(p, "  ", " : ") },
}).ParseFS(templateFiles, "templates/*.tmpl"))

// alertsView is what the templates are filled with. Each value matched a pattern that means nothing in JSON, YAML, HCL
// and SQL, or is a number, or was encoded as JSON.
type alertsView struct {
	Alerts
	Key, ID                            string   // the key's ARN and the id at its end; "": every key
	Name                               string   // ends the names of what is made, so that each key has its own
	Of                                 string   // "of the key …", for people
	Opens, Refused, Strangers, Changes pattern  // nil Strangers: no roles
	Location                           string   // of the trail's files
	OwnRoles                           []string // Roles, or one to be replaced
}

var (
	roleARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[a-zA-Z0-9+=,.@_/-]{1,576}$`)
	email   = regexp.MustCompile(`^[a-zA-Z0-9._+-]{1,64}@[a-zA-Z0-9-]{1,63}(?:\.[a-zA-Z0-9-]{1,63})+$`)
	trail   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[a-zA-Z0-9_.-]+)*$`)
	orgID   = regexp.MustCompile(`^o-[a-z0-9]{10,32}$`)
)

func (a Alerts) view(format Format) (*alertsView, error) {
	if a.Threshold == 0 {
		a.Threshold = DefaultThreshold
	}
	v := &alertsView{Alerts: a, Name: "all", Of: "of every key of this account and Region"}
	if err := v.locate(); err != nil {
		return nil, err
	}
	for _, role := range a.Roles {
		if !roleARN.MatchString(role) {
			return nil, fmt.Errorf("policy: role %q: must be the ARN of a role, as arn:aws:iam::111122223333:role/NAME, with its path "+
				"if it has one, and not that of a session (assumed-role)", role)
		}
	}
	switch {
	case a.Threshold < 1:
		return nil, fmt.Errorf("policy: threshold %d: must be 1 or more", a.Threshold)
	case a.Email != "" && !email.MatchString(a.Email):
		return nil, fmt.Errorf("policy: email %q: must be NAME@DOMAIN", a.Email)
	case format == Athena:
		return v, v.locateTrail()
	}
	return v, v.patterns()
}

// locate takes account and Region from the key's ARN. CloudTrail and EventBridge name keys by ARN only.
func (v *alertsView) locate() error {
	if v.KeyID != "" {
		key, ok := parseAWS(v.KeyID)
		if !ok || key.account == "" || key.id == "" {
			return errors.New("policy: CloudTrail names a key by its ARN, and so must the key id: arn:aws:kms:REGION:ACCOUNT:key/ID; this " +
				"tells it: aws kms describe-key --key-id ID --query KeyMetadata.Arn")
		}
		if v.Account != "" || v.Region != "" {
			return errors.New("policy: the key id is an ARN, which says account and region already")
		}
		v.Key, v.ID, v.Account, v.Region = key.resource(), key.id, key.account, key.region
		v.Name, v.Of = tag(v.Key), "of the key "+v.Key
		return nil
	}
	switch {
	case v.Account != "" && !awsAccount.MatchString(v.Account):
		return fmt.Errorf("policy: account %q: must be 12 digits", v.Account)
	case v.Region != "" && !awsRegion.MatchString(v.Region):
		return fmt.Errorf("policy: region %q: must be a region's name, as eu-central-1", v.Region)
	}
	return nil
}

// locateTrail: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html
func (v *alertsView) locateTrail() error {
	switch {
	case v.Account == "" || v.Region == "":
		return errors.New("policy: the trail's files lie under account and Region: give the key's ARN, or --account and --region")
	case !trail.MatchString(v.Trail) || strings.Contains(v.Trail, ".."):
		return fmt.Errorf("policy: trail bucket %q: must be the name of the bucket that CloudTrail writes to, or BUCKET/PREFIX; this "+
			"tells it: aws cloudtrail describe-trails --query 'trailList[].[S3BucketName,S3KeyPrefix]'", v.Trail)
	case v.Organization != "" && !orgID.MatchString(v.Organization):
		return fmt.Errorf("policy: organization %q: must be its id, as o-exampleorgid", v.Organization)
	}
	path := []string{"s3:/", v.Trail, "AWSLogs"}
	if v.Organization != "" {
		path = append(path, v.Organization)
	}
	v.Location = strings.Join(append(path, v.Account, "CloudTrail", v.Region), "/")
	if v.OwnRoles = v.Roles; len(v.Roles) == 0 {
		v.OwnRoles = []string{fmt.Sprintf("arn:%s:iam::%s:role/APPLICATION", partitionOf(v.Region), v.Account)}
	}
	return nil
}

func (v *alertsView) notes(format Format) []string {
	var notes []string
	if format == Athena {
		notes = append(notes, "Athena runs one statement at a time: first the table, then the view, then whichever query you need; "+
			"it bills what a query reads, so that each query names its days",
			"a request from another account that was refused is only in the trail of that account")
	} else {
		notes = append(notes, "CloudTrail tells EventBridge of Decrypt only if a trail of the account logs management events, those that "+
			"read included, and does not leave out AWS KMS: aws cloudtrail get-event-selectors --trail-name NAME must show ReadWriteType All "+
			"and no kms.amazonaws.com in ExcludeManagementEventSources; to see that it works, open a row, and after some minutes look at the "+
			"metric Invocations of the rule for opens",
			"a rewrap to another key counts as an open, because it can take data keys to a key of somebody else")
	}
	if v.Key == "" {
		notes = append(notes, "without --key-id this is about every key of the account and Region, those of other AWS services included, and "+
			"each rewrap counts: give the key's ARN with --key-id ($KMS_KEY_ID is not read)")
	} else if format != Athena {
		notes = append(notes, fmt.Sprintf("make it in the account %s and the Region %s, those of the key; a multi-Region key needs it in "+
			"each of its Regions", v.Account, v.Region))
	}
	if format != Athena && len(v.Roles) == 0 {
		notes = append(notes, "with --role for each role of the application that opens, there is an alarm when anybody else does")
	}
	if format != Athena && v.Email == "" {
		notes = append(notes, "nobody gets the alerts yet: subscribe to the topic for alerts, or give --email")
	} else if format != Athena {
		notes = append(notes, fmt.Sprintf("AWS asks %s to confirm the subscription, and sends nothing before that", v.Email))
	}
	return notes
}
