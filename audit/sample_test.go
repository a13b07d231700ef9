package audit_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

const (
	sampleKey     = "arn:aws:kms:eu-central-1:123456789012:key/5c7e0b1a-6f0e-4a51-9d3c-2b1f5a0d7e42"
	samplePayroll = "arn:aws:kms:eu-central-1:123456789012:key/a91d44f7-0c55-4d0b-8a7c-71e3b9f6d210"
	role          = "arn:aws:sts::123456789012:assumed-role/"
)

// sample is a report of two weeks of an application that thousands of people use: by day more than by night, a weekend, an hour without
// anything, jobs, a role that may only seal and tries to open, somebody who goes past the application, and changes of the key.
func sample() *audit.Document {
	random := rand.New(rand.NewPCG(7, 7))
	begin := time.Date(2026, 11, 9, 0, 0, 0, 0, time.UTC) // a Monday
	report := &audit.Report{}
	add := func(t time.Time, op kms.Op, who, address, model string, id int) audit.Event {
		e := audit.Event{Time: t, Source: audit.CloudTrail, Op: op, Action: map[kms.Op]string{kms.OpDecrypt: "Decrypt", kms.OpEncrypt: "Encrypt",
			kms.OpRewrap: "ReEncrypt"}[op], Outcome: audit.OK, KeyID: sampleKey, Principal: role + who, Address: address,
			Context: kms.Context{"model_name": model, "model_id": strconv.Itoa(id)}, Request: fmt.Sprintf("%08x-44c1-4b7a-9e8b-1c3a5d7f9021", random.Uint32())}
		if model == "Payslip" {
			e.KeyID = samplePayroll
		}
		return e
	}
	skewed := func(n int) int { return 1 + int(float64(n)*random.Float64()*random.Float64()*random.Float64()) }
	for hour := range 14 * 24 {
		t := begin.Add(time.Duration(hour) * time.Hour)
		busy := 4
		if h := t.Hour(); h >= 7 && h < 19 {
			busy = 40 - 3*max(h-13, 13-h)
		}
		if d := t.Weekday(); d == time.Saturday || d == time.Sunday {
			busy /= 4
		}
		if t.Day() == 17 && t.Hour() >= 9 && t.Hour() < 15 {
			continue // the service was down
		}
		within := func() time.Time { return t.Add(time.Duration(random.IntN(3600)) * time.Second) }
		for range busy {
			instance := random.IntN(3)
			web, address := fmt.Sprintf("web/i-0f3c81a2b%d", instance), fmt.Sprintf("10.20.1.%d", 11+instance)
			report.Add(add(within(), kms.OpDecrypt, web, address, "User", skewed(4000)))
			if random.IntN(6) == 0 {
				report.Add(add(within(), kms.OpEncrypt, web, address, "User", 4000+hour))
			}
			if random.IntN(8) == 0 {
				report.Add(add(within(), kms.OpDecrypt, "support-console/ada.lovelace", "203.0.113.24", "User", skewed(900)))
			}
		}
		if t.Hour() == 2 {
			for i := range 90 {
				report.Add(add(within(), kms.OpDecrypt, "payroll-export/nightly", "10.20.3.7", "Payslip", 1+i))
			}
		}
		if t.Day() == 19 && t.Hour() == 22 {
			for i := range 60 {
				report.Add(add(within(), kms.OpRewrap, "sweep/rotation-2026", "10.20.3.9", "User", 1+i))
			}
		}
		for range random.IntN(3) {
			report.Add(add(within(), kms.OpEncrypt, "signup/i-0a77e21c4", "10.20.2.5", "User", 4000+random.IntN(500)))
		}
		if t.Day() == 14 && t.Hour() < 5 || random.IntN(30) == 0 {
			for range 1 + random.IntN(6) {
				e := add(within(), kms.OpDecrypt, "signup/i-0a77e21c4", "10.20.2.5", "User", skewed(4000))
				e.Outcome, e.Error = audit.Failed, "AccessDenied"
				report.Add(e)
			}
		}
		if random.IntN(40) == 0 {
			e := add(within(), kms.OpDecrypt, "web/i-0f3c81a2b1", "10.20.1.12", "User", skewed(4000))
			e.Outcome, e.Error = audit.Failed, "ThrottlingException"
			report.Add(e)
		}
	}
	doc := &audit.Document{Title: "Who opened customer records, 9 to 22 November 2026", Made: time.Date(2026, 11, 24, 8, 30, 0, 0, time.UTC),
		Filters: []string{"since 2026-11-09T00:00:00Z", "until 2026-11-23T00:00:00Z"}, Compared: true,
		Logs: []audit.LogRead{
			{Name: "AWSLogs/123456789012/CloudTrail/eu-central-1", Entries: 148_211, Events: 9_214, Malformed: 3, Examples: []string{
				"AWSLogs/…/20261117T0905Z.json.gz:112: not JSON", "AWSLogs/…/20261117T0910Z.json.gz: unexpected end"}},
			{Name: "web-1/ledger.jsonl", Ledger: true, Entries: 4_120, Events: 4_377},
			{Name: "jobs/ledger.jsonl", Ledger: true, Entries: 1_260, Events: 1_320},
		}}
	for i, id := range []int{17, 18, 19, 20, 21, 4711, 22} {
		e := add(time.Date(2026, 11, 21, 3, 12, 4*i, 0, time.UTC), kms.OpDecrypt, "admin/mallory", "198.51.100.77", "User", id)
		report.Add(e)
		doc.Unexplained.Add(report.Line(e))
	}
	for i, action := range []string{"PutKeyPolicy", "CreateGrant", "DisableKeyRotation"} {
		e := add(time.Date(2026, 11, 21, 3, 2+3*i, 9, 0, time.UTC), audit.OpManage, "admin/mallory", "198.51.100.77", "", 0)
		e.Action, e.Context = action, nil
		if i == 2 {
			e.Outcome, e.Error = audit.Failed, "AccessDenied"
		}
		report.Add(e)
	}
	for i := range 2 {
		e := add(time.Date(2026, 11, 22, 23, 58, 31+7*i, 0, time.UTC), kms.OpDecrypt, "", "", "User", 812+i)
		e.Source, e.Principal, e.Purpose, e.Request = audit.LedgerFile, "ada.lovelace", "ticket 4711", fmt.Sprintf("ledger %d", 4118+i)
		doc.Unlogged.Add(report.Line(e))
	}
	doc.Summary = report.Summary()
	return doc
}
