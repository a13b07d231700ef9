package audit

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// cloudTrailRecord is what is read of a record:
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type cloudTrailRecord struct {
	EventTime    string `json:"eventTime"`
	EventSource  string `json:"eventSource"`
	EventName    string `json:"eventName"`
	SourceIP     string `json:"sourceIPAddress"`
	ErrorCode    string `json:"errorCode"`
	RequestID    string `json:"requestID"`
	ReadOnly     *bool  `json:"readOnly"`
	UserIdentity struct {
		ARN         string `json:"arn"`
		PrincipalID string `json:"principalId"`
		AccountID   string `json:"accountId"`
		InvokedBy   string `json:"invokedBy"`
	} `json:"userIdentity"`
	Parameters struct {
		KeyID       string      `json:"keyId"`
		Context     kms.Context `json:"encryptionContext"`
		FromContext kms.Context `json:"sourceEncryptionContext"`
		ToContext   kms.Context `json:"destinationEncryptionContext"`
		ToKeyID     string      `json:"destinationKeyId"`
	} `json:"requestParameters"`
	Resources []struct {
		ARN string `json:"ARN"`
	} `json:"resources"`
}

const (
	kmsSource   = "kms.amazonaws.com"
	trailSource = "cloudtrail.amazonaws.com"
)

var awsOps = map[string]kms.Op{"Encrypt": kms.OpEncrypt, "Decrypt": kms.OpDecrypt, "ReEncrypt": kms.OpRewrap}

func readCloudTrail(entry []byte) ([]Event, bool) {
	var r cloudTrailRecord
	err := json.Unmarshal(entry, &r) // whose other fields are there though one is of another type, as those of other services may be
	switch {
	case r.EventSource == "" || r.EventName == "":
		return nil, false
	case r.EventSource != kmsSource && r.EventSource != trailSource:
		return nil, true
	case err != nil:
		return nil, false
	}
	at, err := time.Parse(time.RFC3339, r.EventTime)
	if err != nil {
		return nil, false
	}
	return r.events(at), true
}

func (r *cloudTrailRecord) events(at time.Time) []Event {
	op, ok := awsOps[r.EventName]
	switch {
	case r.EventSource == kmsSource && ok:
	case (r.EventSource == kmsSource || r.EventSource == trailSource) && r.ReadOnly != nil && !*r.ReadOnly:
		op = OpManage
	default:
		return nil
	}
	e := Event{
		Time: at, Source: CloudTrail, Op: op, Action: r.EventName, Outcome: OK,
		KeyID:     cmp.Or(r.keyARN(), r.Parameters.ToKeyID, r.Parameters.KeyID),
		Principal: cmp.Or(r.UserIdentity.ARN, r.UserIdentity.InvokedBy, r.UserIdentity.PrincipalID, r.UserIdentity.AccountID),
		Address:   r.SourceIP, Request: r.RequestID, Context: r.Parameters.Context,
	}
	if op == kms.OpRewrap {
		e.Context = r.Parameters.FromContext
		if to := r.Parameters.ToContext; recordName(to) != recordName(e.Context) {
			e.To = to
		}
	}
	if r.ErrorCode != "" {
		e.Outcome, e.Error = Failed, r.ErrorCode
	}
	return []Event{e}
}

// keyARN is the key's; a ReEncrypt names the old one and then the new one, if they differ.
func (r *cloudTrailRecord) keyARN() string {
	if len(r.Resources) == 0 {
		return ""
	}
	return r.Resources[len(r.Resources)-1].ARN
}

// readLookup reads an event of "aws cloudtrail lookup-events", which has the record as text.
func readLookup(entry []byte) ([]Event, bool) {
	var e struct{ CloudTrailEvent string }
	if json.Unmarshal(entry, &e) != nil || e.CloudTrailEvent == "" {
		return nil, false
	}
	return readCloudTrail([]byte(e.CloudTrailEvent))
}

// readEventBridge reads what a rule of EventBridge delivers: https://docs.aws.amazon.com/eventbridge/latest/ref/events-structure.html
func readEventBridge(entry []byte) ([]Event, bool) {
	var e struct {
		DetailType string          `json:"detail-type"`
		Detail     json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(entry, &e) != nil || e.DetailType == "" {
		return nil, false
	}
	return readCloudTrail(e.Detail)
}
