package audit

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// vaultEntry is what is read of an entry: https://developer.hashicorp.com/vault/docs/audit/schema
type vaultEntry struct {
	Type  string    `json:"type"`
	Time  time.Time `json:"time"`
	Error string    `json:"error"`
	Auth  struct {
		DisplayName string `json:"display_name"`
		EntityID    string `json:"entity_id"`
		Accessor    string `json:"accessor"`
	} `json:"auth"`
	Request *struct {
		ID         string          `json:"id"`
		Operation  string          `json:"operation"`
		Path       string          `json:"path"`
		MountType  string          `json:"mount_type"`
		MountPoint string          `json:"mount_point"`
		Address    string          `json:"remote_address"`
		Data       json.RawMessage `json:"data"`
		Namespace  struct {
			Path string `json:"path"`
		} `json:"namespace"`
	} `json:"request"`
	Response *struct {
		Data json.RawMessage `json:"data"`
	} `json:"response"`
}

// vaultItem is an item of a batch, or the one of a request without a batch.
type vaultItem struct {
	Context string // its hash, as a rule
}

// record is the context of a device with log_raw, and else its hash.
func (it vaultItem) record() (c kms.Context, hash string) {
	if strings.HasPrefix(it.Context, "hmac-") {
		return nil, it.Context
	}
	b, err := base64.StdEncoding.DecodeString(it.Context) // which goes past line ends
	if err != nil || len(b) == 0 || json.Unmarshal(b, &c) != nil || len(c) == 0 {
		return nil, it.Context
	}
	return c, ""
}

// vaultResult is the answer to an item. A text, if only an empty one, stands there as its hash: what is there tells.
type vaultResult struct {
	Plaintext  *string `json:"plaintext"`
	Ciphertext *string `json:"ciphertext"`
	KeyVersion int     `json:"key_version"`
}

// vaultLog reads entries, and keeps requests until their answers come, which have all that the requests had. Only a request that was
// never answered is told of by itself.
type vaultLog struct {
	waiting map[string][]Event
	order   []string
}

// mostWaiting is far more than a server has under way.
const mostWaiting = 10_000

func newVaultLog() *vaultLog { return &vaultLog{waiting: map[string][]Event{}} }

func (l *vaultLog) read(entry []byte) ([]Event, bool) {
	var v vaultEntry
	if json.Unmarshal(entry, &v) != nil || v.Request == nil || v.Type != "request" && v.Type != "response" {
		return nil, false
	}
	events := v.events()
	if len(events) == 0 {
		return nil, true
	}
	id := v.Request.ID
	if v.Type == "response" {
		delete(l.waiting, id)
		return events, true
	}
	for i := range events {
		events[i].Outcome = Unknown
	}
	l.waiting[id] = events
	l.order = append(l.order, id)
	return l.overdue(), true
}

// overdue gives up on the oldest requests.
func (l *vaultLog) overdue() (events []Event) {
	for len(l.order) > mostWaiting {
		events = append(events, l.waiting[l.order[0]]...)
		delete(l.waiting, l.order[0])
		l.order = l.order[1:]
	}
	return events
}

// unanswered returns the requests without an answer, at the end of the log.
func (l *vaultLog) unanswered() (events []Event) {
	for _, id := range l.order {
		events = append(events, l.waiting[id]...)
	}
	*l = *newVaultLog()
	return events
}

func (v *vaultEntry) events() []Event {
	e := Event{
		Time: v.Time, Source: VaultAudit, Action: v.Request.Path, Outcome: OK, Principal: v.principal(),
		Address: v.Request.Address, Request: v.Request.ID,
	}
	e.Op, e.KeyID = v.what()
	if v.Error != "" {
		e.Outcome, e.Error = Failed, vaultError(v.Error)
	}
	switch e.Op {
	case "":
		return nil
	case OpManage:
		e.Action = v.Request.Operation + " " + e.Action
		return []Event{e}
	}
	items, batch := v.items()
	outcomes := v.outcomes(e.Outcome, len(items), batch)
	events := make([]Event, len(items))
	for i, it := range items {
		events[i] = e
		events[i].Context, events[i].ContextHash = it.record()
		events[i].Outcome, events[i].KeyVersion = outcomes[i].outcome, outcomes[i].keyVersion
		switch {
		case outcomes[i].outcome != Failed || e.Error != "":
		case it.Context == "": // with which rowseal asks whether the key is derived
			events[i].Error = "refused, without a context"
		default:
			events[i].Error = "refused"
		}
	}
	return events
}

var (
	transitUse    = regexp.MustCompile(`^(?:(.+)/)?(encrypt|decrypt|rewrap)/([^/]+)$`)
	transitManage = regexp.MustCompile(`^(?:(.+)/)?(?:keys/([^/]+)(?:/.+)?|(?:backup|restore)/([^/]+)|export/[^/]+/([^/]+)(?:/[^/]+)?)$`)
	systemManage  = regexp.MustCompile(`^sys/(?:audit/.+|polic(?:y|ies/acl)/.+|mounts/.+|remount|seal|step-down|generate-root/.+)$`)
	rawStorage    = regexp.MustCompile(`^sys/raw/.+$`) // where keys can be read, wrapped by the barrier's alone
)

// what tells what the request is about, "" if nothing that matters here.
func (v *vaultEntry) what() (kms.Op, string) {
	r := v.Request
	if r.Path == "sys/audit/test" && r.Address == "" { // with which the server tries a new device
		return "", ""
	}
	reads := r.Operation == "read" || r.Operation == "list" || r.Operation == "help"
	if systemManage.MatchString(r.Path) && !reads || rawStorage.MatchString(r.Path) {
		return OpManage, ""
	}
	if r.MountType != "" && r.MountType != "transit" {
		return "", ""
	}
	if p := transitUse.FindStringSubmatch(r.Path); p != nil && !reads {
		return map[string]kms.Op{"encrypt": kms.OpEncrypt, "decrypt": kms.OpDecrypt, "rewrap": kms.OpRewrap}[p[2]], v.keyID(p[1], p[3])
	}
	if p := transitManage.FindStringSubmatch(r.Path); p != nil && (!reads || p[2] == "") && r.MountType != "" {
		return OpManage, v.keyID(p[1], cmp.Or(p[2], p[3], p[4]))
	}
	return "", ""
}

// keyID is the id for vaultkms: the namespace before the mount, and neither if they are the usual ones.
func (v *vaultEntry) keyID(mount, name string) string {
	mount = strings.Trim(v.Request.Namespace.Path, "/") + "/" + mount
	if mount = strings.Trim(mount, "/"); mount == "transit" || mount == "" {
		return "vault/" + name
	}
	return "vault/" + mount + "/" + name
}

// principal is the token's display name, which its maker gave it; what only says "token" gets its accessor.
func (v *vaultEntry) principal() string {
	name := v.Auth.DisplayName
	if name == "" || name == "token" {
		mark := cmp.Or(v.Auth.EntityID, strings.TrimPrefix(v.Auth.Accessor, "hmac-sha256:"))
		name = strings.TrimSpace(name + " " + mark[:min(len(mark), 8)])
	}
	return name
}

func vaultError(text string) string {
	text = strings.TrimPrefix(strings.TrimSpace(text), "1 error occurred:")
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "* ", " ")), " ")
}

// items reads what the caller sent, by the names that the server reads: those that differ in case are the caller's own, and could else
// put another record, or none, in the place of the one that was opened.
func (v *vaultEntry) items() (items []vaultItem, batch bool) {
	data := exactly(v.Request.Data)
	var many []json.RawMessage
	if json.Unmarshal(data["batch_input"], &many) == nil && len(many) > 0 {
		for _, one := range many {
			items = append(items, newVaultItem(exactly(one)))
		}
		return items, true
	}
	return []vaultItem{newVaultItem(data)}, false
}

// exactly returns the members of an object by their names, which package json would not tell from others of another case.
func exactly(object json.RawMessage) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(object, &members) // what is none has no members
	return members
}

// newVaultItem: of an item of a batch, some versions of the server take a name in any case where the right one is not there.
func newVaultItem(members map[string]json.RawMessage) vaultItem {
	var it vaultItem
	if json.Unmarshal(members["context"], &it.Context) == nil {
		return it
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if strings.EqualFold(name, "context") && json.Unmarshal(members[name], &it.Context) == nil {
			break
		}
	}
	return it
}

type vaultOutcome struct {
	outcome    Outcome
	keyVersion string
}

// outcomes tells what became of n items. A batch with a bad item is answered with a status, and the answer is one hash.
func (v *vaultEntry) outcomes(whole Outcome, n int, batch bool) []vaultOutcome {
	all := func(o Outcome) []vaultOutcome { return slices.Repeat([]vaultOutcome{{outcome: o}}, n) }
	if whole == Failed || v.Type == "request" {
		return all(whole)
	}
	var answer struct {
		vaultResult
		Results []vaultResult `json:"batch_results"`
		Status  int           `json:"http_status_code"`
	}
	if v.Response == nil || json.Unmarshal(v.Response.Data, &answer) != nil {
		return all(Unknown)
	}
	switch {
	case answer.Status >= 400 && n == 1:
		return all(Failed)
	case batch && len(answer.Results) != n:
		return all(Unknown)
	case !batch:
		answer.Results = []vaultResult{answer.vaultResult}
	}
	outcomes := all(Failed)
	for i, r := range answer.Results {
		if r.Plaintext != nil || r.Ciphertext != nil {
			outcomes[i] = vaultOutcome{OK, versionText(r.KeyVersion)}
		}
	}
	return outcomes
}
