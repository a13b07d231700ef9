package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// perEntry is how many records a line has at most, so that lines stay short.
const perEntry = 256

// entry is a line of a ledger, without its own hash.
type entry struct {
	Seq      uint64    `json:"seq"`            // 1, 2, 3, …
	Prev     string    `json:"prev"`           // the hash of the line before; 64 zeros in the first
	Torn     string    `json:"torn,omitempty"` // SHA-256 of the part of a line before this one, which a killed writer left
	Time     time.Time `json:"time"`           // when the call began, UTC
	Op       kms.Op    `json:"op"`
	KeyID    string    `json:"key_id"`
	Actor    string    `json:"actor,omitempty"`
	Purpose  string    `json:"purpose,omitempty"`
	Requests int       `json:"requests"` // of the call; of a call of several lines, the first has them
	Duration int64     `json:"duration_us"`
	Records  []record  `json:"records"`

	hash string
}

// record is what became of one item of a call.
type record struct {
	Context    kms.Context `json:"context"`
	To         kms.Context `json:"to,omitempty"`   // of a rewrap, the new context, where it is another one
	From       string      `json:"from,omitempty"` // of a rewrap, the key before
	KeyVersion string      `json:"key_version,omitempty"`
	Attempts   int         `json:"attempts"`
	Error      string      `json:"error,omitempty"` // ErrorClass
}

func newEntries(ctx context.Context, e kms.Event, r redactor) []entry {
	name, purpose := Actor(ctx)
	var entries []entry
	requests := e.Requests
	for items := range slices.Chunk(e.Items, perEntry) {
		entry := entry{Time: e.Start.UTC(), Op: e.Op, KeyID: e.KeyID, Actor: name, Purpose: purpose, Requests: requests,
			Duration: e.Duration.Microseconds()}
		for _, it := range items {
			entry.Records = append(entry.Records, newRecord(it, r))
		}
		entries = append(entries, entry)
		requests = 0
	}
	return entries
}

func newRecord(it kms.EventItem, r redactor) record {
	rec := record{Context: r.context(it.Context), From: it.From, KeyVersion: it.KeyVersion, Attempts: it.Attempts, Error: ErrorClass(it.Err)}
	item := kms.RewrapItem{Item: kms.Item{Context: it.Context}, To: it.To}
	if same, err := item.SameContext(); it.To != nil && (err != nil || !same) {
		rec.To = r.context(it.To)
	}
	return rec
}

// noHash stands where the first line has no line before it.
var noHash = hex.EncodeToString(make([]byte, sha256.Size))

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// after returns the line, its end included, of an entry that follows head.
func (e entry) after(head Head) ([]byte, Head, error) {
	e.Seq, e.Prev = head.Seq+1, head.Hash
	if head.Seq == 0 {
		e.Prev = noHash
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, Head{}, err
	}
	hash := hashOf(body)
	line := fmt.Appendf(body[:len(body)-1], `,"hash":"%s"}`+"\n", hash)
	return line, Head{e.Seq, hash}, nil
}

func (e entry) head() Head { return Head{e.Seq, e.hash} }

// hashPart is the end of every line. The hash is the SHA-256 of the line without this part and with "}".
var hashPart = regexp.MustCompile(`^,"hash":"([0-9a-f]{64})"\}$`)

const hashPartLen = len(`,"hash":""}`) + 2*sha256.Size

var (
	errNoEntry = errors.New("not an entry of a ledger")
	errHash    = errors.New("its hash is not that of what it says")
)

// parseEntry returns the entry of a line, without its end. With errHash the entry is as the line says.
func parseEntry(line []byte) (entry, error) {
	end := max(len(line)-hashPartLen, 0)
	hash := hashPart.FindSubmatch(line[end:])
	if hash == nil {
		return entry{}, errNoEntry
	}
	body := append(bytes.Clone(line[:end]), '}')
	e := entry{hash: string(hash[1])}
	if err := json.Unmarshal(body, &e); err != nil || e.Seq == 0 || e.Prev == "" {
		return entry{}, errNoEntry
	}
	if hashOf(body) != e.hash {
		return e, errHash
	}
	return e, nil
}

func lastIndex(b []byte, before int) int { return bytes.LastIndexByte(b[:before], '\n') }

// Head names an entry of a ledger, and by its hash all that are before it.
type Head struct {
	Seq  uint64 // 0: before the first
	Hash string // 64 hex digits
}

// String is "SEQ:HASH".
func (h Head) String() string { return strconv.FormatUint(h.Seq, 10) + ":" + h.Hash }

var headForm = regexp.MustCompile(`^([1-9][0-9]{0,18}):([0-9a-f]{64})$`)

// ParseHead reads what Head.String returned.
func ParseHead(text string) (Head, error) {
	found := headForm.FindStringSubmatch(text)
	if found == nil {
		return Head{}, fmt.Errorf("audit: %q is no head of a ledger, which is a number, a colon and 64 hex digits: %w", text, kms.ErrInvalidRequest)
	}
	seq, err := strconv.ParseUint(found[1], 10, 64)
	return Head{seq, found[2]}, err
}
