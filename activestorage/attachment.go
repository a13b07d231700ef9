package activestorage

import (
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Record names what attachments belong to: a row of the app.
type Record struct {
	Type string // its record_type: the class that Rails has for it, "User"; under single table inheritance the base class
	ID   any    // its primary key: an integer, a text or a UUID
}

// Attachment is a row of active_storage_attachments with its blob.
type Attachment struct {
	ID         string // in decimal, or as text
	Name       string // of has_one_attached or has_many_attached: "license"
	RecordType string
	RecordID   string // in decimal, or as text
	CreatedAt  time.Time
	Blob       Blob
}

// Blob is a row of active_storage_blobs. NULL is "".
type Blob struct {
	ID          string // in decimal, or as text
	Key         string // of the object in the store
	Filename    string // as it was given; for headers and paths use SafeFilename
	ContentType string
	Metadata    Metadata
	ServiceName string
	ByteSize    int64  // of the object, in bytes
	Checksum    string // strict base64 of the object's MD5
	CreatedAt   time.Time
}

// Attachments are what Load found.
type Attachments []Attachment

// Of returns the attachments of one record and name, in their order.
func (as Attachments) Of(recordID any, name string) Attachments {
	id, err := idText(recordID)
	if err != nil {
		return nil // no row has it
	}
	var of Attachments
	for _, a := range as {
		if a.RecordID == id && a.Name == name {
			of = append(of, a)
		}
	}
	return of
}

// One returns the attachment of a record and a has_one_attached name. Where there are several, which no index prevents,
// it is the first.
func (as Attachments) One(recordID any, name string) (a Attachment, ok bool) {
	of := as.Of(recordID, name)
	if len(of) == 0 {
		return Attachment{}, false
	}
	return of[0], true
}

// place says in errors which attachment it is. Filenames are left out: they may be personal.
func (a Attachment) place() string {
	return place(a.Name, a.RecordType, a.RecordID) + " (blob " + a.Blob.ID + ")"
}

func place(name, recordType, recordID string) string {
	return name + " of " + recordType + " " + recordID
}

// idText returns an id as the text that databases accept for each of its types.
func idText(id any) (string, error) {
	switch v := id.(type) {
	case string:
		return v, nil
	case time.Time: // has a String method, and is no id
	case fmt.Stringer: // UUIDs of all libraries
		return v.String(), nil
	}
	switch v := reflect.ValueOf(id); {
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), nil
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), nil
	case v.Kind() == reflect.String:
		return v.String(), nil
	default:
		return "", fmt.Errorf("activestorage: an id of type %T: use an integer, a string or a UUID with a String method", id)
	}
}

// idTexts returns each id once.
func idTexts(ids []any) ([]any, error) {
	seen := make(map[string]bool, len(ids))
	texts := make([]any, 0, len(ids))
	for _, id := range ids {
		text, err := idText(id)
		if err != nil {
			return nil, err
		}
		if !seen[text] {
			seen[text] = true
			texts = append(texts, text)
		}
	}
	return texts, nil
}
